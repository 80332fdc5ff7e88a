"""Ask every source that there is whether the promises were kept."""

from __future__ import annotations

from gofleet.domain.errors import GoFleetError
from gofleet.settings import Settings
from gofleet.verification import clients as of_clients
from gofleet.verification import events as of_events
from gofleet.verification import orders as of_orders
from gofleet.verification import servers as of_servers
from gofleet.verification.checks import Check
from gofleet.verification.findings import InvariantResult, Report
from gofleet.verification.sources import Inputs, Source, Sources, sources

TITLES = {
    "I1": "what was answered 2xx is kept, as it was asked for",
    "I2": "no order waits without an end or a reason",
    "I3": "orders made only legal moves, and their history is whole",
    "I4": "an order is dispatched once for each time it waits",
    "I5": "a driver never held two orders at once",
    "I6": "each move has exactly one event",
    "I7": "each event was published",
    "I8": "events of one order arrived in order",
    "I9": "no event arrived that was not committed",
    "I10": "creating twice is creating once, with the same answer",
    "I11": "a cancelled order stays cancelled; a refused cancel came too late",
    "I12": "no announcement was acknowledged in silence",
    "I13": "parked messages are known, and nobody waits only for them",
    "I14": "Redis knows who is busy, and claims end",
    "I15": "no answer speaks of somebody else's order",
    "I16": "the money is right",
    "I17": "the queues are empty",
    "I18": "no transaction is forgotten and nobody waits for a lock for too long",
}
ALL: tuple[Check, ...] = (*of_orders.CHECKS, *of_events.CHECKS, *of_clients.CHECKS, *of_servers.CHECKS)
ONLY_AT_REST = "an installation at rest"


async def verify(settings: Settings, inputs: Inputs | None = None) -> Report:
    """Check every invariant that the settings' servers and the inputs allow. It changes nothing and raises nothing:
    what cannot be read is told in the report."""
    findings = {id: InvariantResult(id=id, title=title) for id, title in TITLES.items()}
    async with sources(settings, inputs or Inputs()) as found:
        for each in ALL:
            await _run(each, found, findings[each.of])
    return Report(list(findings.values()))


async def _run(each: Check, found: Sources, finding: InvariantResult) -> None:
    if each.at_rest and found.inputs.live:
        _once(finding.lacking, ONLY_AT_REST)
        return
    given = found.opened.keys() | found.failed.keys()
    if lacking := sorted(each.needs - given):
        for source in lacking:
            if source is not Source.MANAGEMENT or found.settings.general.broker == "rabbitmq":
                _once(finding.lacking, source.value)
        return
    if failed := sorted(each.needs & found.failed.keys()):
        for source in failed:
            _once(finding.unreadable, found.failed[source])
        return
    try:
        await each.run(found, finding)
        finding.checks += 1
    except GoFleetError as error:
        _once(finding.unreadable, str(error))


def _once(texts: list[str], text: str) -> None:
    if text not in texts:
        texts.append(text)
