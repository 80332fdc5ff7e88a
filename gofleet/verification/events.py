"""Events: I6 exactly one for each move, I7 published, I8 in order, I9 no phantoms, I12 none acked in silence,
I13 parked ones visible."""

from __future__ import annotations

from uuid import UUID

from gofleet.adapters.postgres.snapshot import VERIFY
from gofleet.domain.events import ORDERS_DISPATCH_REQUESTED
from gofleet.domain.messages import DISPATCH_QUEUE, QUEUES, parking_queue
from gofleet.guards.chain import DISPATCH_CONSUMER
from gofleet.verification.checks import check, no_rows
from gofleet.verification.findings import InvariantResult
from gofleet.verification.records import Tapped
from gofleet.verification.sources import Source, Sources


def _kept(sources: Sources) -> dict[str, object]:
    return {"days": sources.settings.relay.outbox_keep_days}


def _unpublished_since(sources: Sources) -> dict[str, object]:
    return {"seconds": sources.settings.worker.t_max_seconds if sources.inputs.live else 0.0}


def _to_dispatch(sources: Sources) -> dict[str, object]:
    types = list(QUEUES[DISPATCH_QUEUE])
    return {"types": types, "consumer": DISPATCH_CONSUMER, "lost_data": sources.inputs.broker_lost_data}


def _types(_: Sources) -> dict[str, object]:
    return {"types": list(QUEUES[DISPATCH_QUEUE])}


def _queues(_: Sources) -> dict[str, object]:
    return {"queues": [*QUEUES, *map(parking_queue, QUEUES)]}


@check("I7", Source.POSTGRES, Source.TAP, at_rest=True)
async def tapped(sources: Sources, finding: InvariantResult) -> None:
    """Each published event came out of the broker. The tapped ids are kept in memory, about 100 bytes each."""
    if sources.inputs.broker_lost_data:
        finding.notes.append("not compared with the tap: the broker lost data")
        return
    seen = {event.event_id for event in sources.tap}
    async for event_id, what in sources.rows(VERIFY.published):
        if event_id not in seen:
            finding.add(event_id, f"{what} was published and never arrived at the tap")


@check("I8", Source.TAP)
async def in_order(sources: Sources, finding: InvariantResult) -> None:
    """By the first arrival of each event: repeated ones may come at any time. A command repeats the version at which
    its order stands."""
    seen, last = set[str](), dict[str, int]()
    for event in sources.tap:
        if event.event_id in seen:
            continue
        seen.add(event.event_id)
        before = last.get(event.order_id, 0)
        last[event.order_id] = max(before, event.sequence)
        command = event.type == ORDERS_DISPATCH_REQUESTED
        if event.sequence < before or (event.sequence == before and not command):
            finding.add(event.order_id, f"{event.type} (version {event.sequence}) arrived after version {before}")


@check("I9", Source.POSTGRES, Source.TAP)
async def no_phantoms(sources: Sources, finding: InvariantResult) -> None:
    """What arrived was committed. An event of an order older than the retention may have been pruned since."""
    for page in sources.tap.pages():
        ids = [event.event_id for event in page if _is_uuid(event.event_id)]
        known = {row[0] async for row in sources.rows(VERIFY.known_events, ids=ids)}
        missing = [event for event in page if event.event_id.lower() not in known]
        for event in await _not_pruned(sources, missing):
            finding.add(event.event_id, f"{event.type} of {event.order_id} arrived and is not in the outbox")


async def _not_pruned(sources: Sources, events: list[Tapped]) -> list[Tapped]:
    if not events:
        return []
    ids = [event.order_id for event in events]
    old = {row[0]: row[1] async for row in sources.rows(VERIFY.old_orders, ids=ids, **_kept(sources))}
    return [event for event in events if event.sequence > old.get(event.order_id, 0)]


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


@check("I13", Source.POSTGRES)
async def parked(sources: Sources, finding: InvariantResult) -> None:
    """Not a fault: parked messages are there for people to decide about."""
    async for queue, count, reason in sources.rows(VERIFY.parked):
        finding.notes.append(f"{count} parked from {queue}, such as: {reason}")


CHECKS = (
    no_rows("I6", VERIFY.moves_without_event, _kept),
    no_rows("I6", VERIFY.events_without_move),
    no_rows("I6", VERIFY.repeated_events),
    no_rows("I7", VERIFY.failed_events),
    no_rows("I7", VERIFY.unpublished_events, _unpublished_since),
    tapped,
    in_order,
    no_phantoms,
    no_rows("I12", VERIFY.silently_acked, _to_dispatch, at_rest=True),
    parked,
    no_rows("I13", VERIFY.parked_elsewhere, _queues),
    no_rows("I13", VERIFY.parked_alone, _types, at_rest=True),
)
