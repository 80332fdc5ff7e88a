"""Runs all invariant checks against the available sources."""

from __future__ import annotations

from gofleet.domain.errors import GoFleetError
from gofleet.settings import Settings
from gofleet.verification import clients, orders, servers
from gofleet.verification.checks import Check, InvariantResult, Report
from gofleet.verification.sources import Inputs, Source, Sources, open_sources

TITLES = {
    "I1": "every request answered with 2xx is durable, with its content",
    "I2": "no order waits past its deadline or without a reason",
    "I3": "orders made only legal transitions, and their histories are complete",
    "I4": "an order is dispatched at most once per time that it becomes PENDING, not to an excluded driver",
    "I5": "no driver has two orders at the same time",
    "I6": "each transition has exactly one event",
    "I7": "each event was published",
    "I8": "events of an order arrive in order",
    "I9": "no event arrives that was not committed",
    "I10": "creating an order is idempotent, with identical responses",
    "I11": "a cancelled order stays cancelled; a refused cancel came too late",
    "I12": "no dispatch event was acknowledged without an effect",
    "I13": "parked messages are known, and no order depends on them alone",
    "I14": "Redis knows which drivers are busy, and claims expire",
    "I15": "no response mentions another order",
    "I16": "amounts of money are consistent",
    "I17": "the queues are empty",
    "I18": "no transaction is idle and no session waits for a lock for too long",
    "I19": "orders are dispatched to registered drivers only",
}
CHECKS: tuple[Check, ...] = (*orders.CHECKS, *clients.CHECKS, *servers.CHECKS)
NEEDS_REST = "an installation at rest"


async def verify(settings: Settings, inputs: Inputs | None = None) -> Report:
    """Check every invariant that the configured servers and the inputs allow.

    Nothing is changed and no exception is raised: a source that cannot be read is reported.
    """
    results = {id: InvariantResult(id=id, title=title) for id, title in TITLES.items()}
    async with open_sources(settings, inputs or Inputs()) as sources:
        for check in CHECKS:
            await _run(check, sources, results[check.invariant])
    return Report(list(results.values()))


async def _run(check: Check, sources: Sources, result: InvariantResult) -> None:
    if check.at_rest and sources.inputs.live:
        _append_once(result.lacking, NEEDS_REST)
        return
    given = sources.opened.keys() | sources.failed.keys()
    if lacking := sorted(check.needs - given):
        for source in lacking:
            if source is not Source.MANAGEMENT or sources.settings.general.broker == "rabbitmq":
                _append_once(result.lacking, source.value)
        return
    if failed := sorted(check.needs & sources.failed.keys()):
        for source in failed:
            _append_once(result.unreadable, sources.failed[source])
        return
    try:
        await check.run(sources, result)
        result.checks += 1
    except GoFleetError as error:
        _append_once(result.unreadable, str(error))


def _append_once(texts: list[str], text: str) -> None:
    if text not in texts:
        texts.append(text)
