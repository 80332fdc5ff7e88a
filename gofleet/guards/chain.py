"""The order of the guards, outermost first."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from gofleet import failpoints
from gofleet.domain.messages import ACK, Delivery, Handler, Outcome, Receipt, home_queue
from gofleet.domain.parked import CRASH_LOOP
from gofleet.guards.idempotency import Idempotency
from gofleet.guards.manual_fallback import ManualFallback, WaitLimits
from gofleet.guards.parking import Parking, RetryRules
from gofleet.guards.retries import Backoff, Deadline, Outage
from gofleet.ports import Inbox, Leases, Orders, Parked
from gofleet.usecases.dispatch_order import DispatchOrder, SendToManual
from gofleet.usecases.drivers import FollowOrders

DISPATCH_CONSUMER = "dispatch"
"""The worker's name in the inbox."""


@dataclass(frozen=True)
class ChainSettings:
    """The bounds of a chain; `deadline_seconds` must be shorter than the lease."""

    retry: RetryRules
    limits: WaitLimits
    deadline_seconds: float = 8.0
    hold_seconds: float = 20.0


def dispatch_chain(
    dispatch_order: DispatchOrder,
    *,
    orders: Orders,
    inbox: Inbox,
    leases: Leases,
    parked: Parked,
    rules: ChainSettings,
    stopping: asyncio.Event,
) -> Handler:
    """outage > parking > patience > backoff > deadline > once > dispatch (and the breaker, at the fleet port)."""

    async def dispatch(delivery: Delivery) -> Outcome:
        await dispatch_order(delivery.event().order_id, Receipt(DISPATCH_CONSUMER, delivery.event_id))
        return ACK

    handler: Handler = Idempotency(dispatch, DISPATCH_CONSUMER, leases, inbox)
    handler = Deadline(handler, rules.deadline_seconds)
    handler = Backoff(handler)
    handler = ManualFallback(handler, DISPATCH_CONSUMER, orders, SendToManual(orders, inbox), rules.limits, rules.retry)
    handler = Parking(handler, parked, rules.retry)
    guarded = Outage(handler, stopping, rules.hold_seconds)

    async def handle(delivery: Delivery) -> Outcome:
        failpoints.hit("worker.received")
        verdict = await guarded(delivery)
        failpoints.hit("worker.before_ack")
        return verdict

    return handle


def follow_chain(
    follow_orders: FollowOrders, *, parked: Parked, rules: ChainSettings, stopping: asyncio.Event
) -> Handler:
    """outage > parking > deadline > follow: repeating it is harmless, so it needs no idempotency guard."""

    async def follow(delivery: Delivery) -> Outcome:
        await follow_orders(delivery.event())
        failpoints.hit("fleet.after_follow")
        return ACK

    handler: Handler = Deadline(follow, rules.deadline_seconds)
    return Outage(Parking(handler, parked, rules.retry), stopping, rules.hold_seconds)


def drain_chain(parked: Parked, *, rules: ChainSettings, stopping: asyncio.Event) -> Handler:
    """Empties a broker's parking queue into the table of parked messages, where people look."""

    async def drain(delivery: Delivery) -> Outcome:
        await parked.add(replace(delivery, queue=home_queue(delivery.queue)), CRASH_LOOP)
        return ACK

    return Outage(drain, stopping, rules.hold_seconds)
