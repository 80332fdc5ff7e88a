"""Invariants of orders and their events in PostgreSQL and at the tap.

Orders: I2 explainable, I3 legal transitions, I4 dispatched once, I5 one order per driver, I16 consistent money,
I19 registered drivers.
Events: I6 exactly one per transition, I7 published, I8 in order, I9 committed, I12 handled, I13 parked ones known.

I5 compares the ids of the history, not its times: a transaction that waits for another one begins before that one
ends, so times may overlap where the assignments do not. See `shared_drivers` in sql/queries/verify.sql.
"""

from __future__ import annotations

from uuid import UUID

from gofleet.adapters.postgres.snapshot import VERIFY
from gofleet.domain.events import ORDERS_DISPATCH_REQUESTED
from gofleet.domain.messages import DISPATCH_QUEUE, QUEUES, parking_queue
from gofleet.domain.order import TRANSITIONS, Status
from gofleet.guards.chain import DISPATCH_CONSUMER
from gofleet.verification.checks import InvariantResult, invariant_check, no_rows
from gofleet.verification.sources import Source, Sources, TapEntry


@invariant_check("I7", Source.POSTGRES, Source.TAP, at_rest=True)
async def tapped(sources: Sources, result: InvariantResult) -> None:
    """Each published event arrived at the tap. The ids of the tap are kept in memory, about 100 bytes each."""
    if sources.inputs.broker_lost_data:
        result.notes.append("not compared with the tap: the broker lost data")
        return
    seen = {event.event_id for event in sources.tap}
    async for event_id, what in sources.rows(VERIFY.published):
        if event_id not in seen:
            result.add(event_id, f"{what} was published and never arrived at the tap")


@invariant_check("I8", Source.TAP)
async def in_order(sources: Sources, result: InvariantResult) -> None:
    """First arrivals are in order; redeliveries may come at any time. A command repeats its order's current version."""
    seen, last = set[str](), dict[str, int]()
    for event in sources.tap:
        if event.event_id in seen:
            continue
        seen.add(event.event_id)
        before = last.get(event.order_id, 0)
        last[event.order_id] = max(before, event.sequence)
        is_command = event.type == ORDERS_DISPATCH_REQUESTED
        if event.sequence < before or (event.sequence == before and not is_command):
            result.add(event.order_id, f"{event.type} (version {event.sequence}) arrived after version {before}")


@invariant_check("I9", Source.POSTGRES, Source.TAP)
async def no_phantoms(sources: Sources, result: InvariantResult) -> None:
    """Each event at the tap was committed. Events of orders older than the retention may have been pruned since."""
    for page in sources.tap.pages():
        ids = [event.event_id for event in page if _is_uuid(event.event_id)]
        known = {row[0] async for row in sources.rows(VERIFY.known_events, ids=ids)}
        unknown = [event for event in page if event.event_id.lower() not in known]
        for event in await _without_pruned(sources, unknown):
            result.add(event.event_id, f"{event.type} of {event.order_id} arrived and is not in the outbox")


async def _without_pruned(sources: Sources, events: list[TapEntry]) -> list[TapEntry]:
    if not events:
        return []
    ids = [event.order_id for event in events]
    pruned = {row[0]: row[1] async for row in sources.rows(VERIFY.old_orders, ids=ids, **_retention(sources))}
    return [event for event in events if event.sequence > pruned.get(event.order_id, 0)]


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


@invariant_check("I13", Source.POSTGRES)
async def parked(sources: Sources, result: InvariantResult) -> None:
    """Notes on parked messages, which are not a violation: an operator decides about them."""
    async for queue, count, reason in sources.rows(VERIFY.parked):
        result.notes.append(f"{count} parked from {queue}, for example: {reason}")


def _wait_limit(sources: Sources) -> dict[str, object]:
    settings = sources.settings
    # The sweeper runs periodically, so an order may be overdue by up to two of its intervals.
    return {"seconds": settings.worker.t_max_seconds + 2 * settings.relay.sweep_seconds}


def _legal_transitions(_: Sources) -> dict[str, object]:
    transitions = [(was.value, became.value) for was, targets in TRANSITIONS.items() for became in targets]
    was, became = zip(*transitions, strict=True)
    open = [status.value for status, targets in TRANSITIONS.items() if targets]
    return {"was": [None, *was], "became": [Status.PENDING.value, *became], "open": open}


def _retention(sources: Sources) -> dict[str, object]:
    return {"days": sources.settings.relay.outbox_keep_days}


def _publish_limit(sources: Sources) -> dict[str, object]:
    return {"seconds": sources.settings.worker.t_max_seconds if sources.inputs.live else 0.0}


def _dispatch_consumer(sources: Sources) -> dict[str, object]:
    return {**_dispatch_types(sources), "consumer": DISPATCH_CONSUMER, "lost_data": sources.inputs.broker_lost_data}


def _dispatch_types(_: Sources) -> dict[str, object]:
    return {"types": list(QUEUES[DISPATCH_QUEUE])}


def _queue_names(_: Sources) -> dict[str, object]:
    return {"queues": [*QUEUES, *map(parking_queue, QUEUES)]}


CHECKS = (
    no_rows("I2", VERIFY.waiting, at_rest=True),
    no_rows("I2", VERIFY.overdue, _wait_limit),
    no_rows("I2", VERIFY.unexplained),
    no_rows("I3", VERIFY.illegal_moves, _legal_transitions),
    no_rows("I3", VERIFY.illegal_kinds),
    no_rows("I3", VERIFY.broken_histories),
    no_rows("I3", VERIFY.other_ends),
    no_rows("I4", VERIFY.dispatched_again),
    no_rows("I4", VERIFY.drivers_changed),
    no_rows("I4", VERIFY.excluded_dispatches),
    no_rows("I5", VERIFY.shared_drivers),
    no_rows("I19", VERIFY.unregistered_drivers),
    no_rows("I16", VERIFY.wrong_money),
    no_rows("I16", VERIFY.other_money),
    no_rows("I6", VERIFY.moves_without_event, _retention),
    no_rows("I6", VERIFY.events_without_move),
    no_rows("I6", VERIFY.repeated_events),
    no_rows("I7", VERIFY.failed_events),
    no_rows("I7", VERIFY.unpublished_events, _publish_limit),
    tapped,
    in_order,
    no_phantoms,
    no_rows("I12", VERIFY.silently_acked, _dispatch_consumer, at_rest=True),
    parked,
    no_rows("I13", VERIFY.parked_elsewhere, _queue_names),
    no_rows("I13", VERIFY.parked_alone, _dispatch_types, at_rest=True),
)
