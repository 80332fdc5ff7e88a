"""Guard chains of the message handlers: the order of the guards, outermost first."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from gofleet import failpoints
from gofleet.domain.events import OrderCreated
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
"""Name of the worker in the inbox."""


@dataclass(frozen=True)
class ChainSettings:
    """Settings of a chain; `deadline_seconds` must be shorter than the lease."""

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
    """outage > parking > manual fallback > backoff > deadline > idempotency > dispatch (breaker: at the fleet port)."""

    async def dispatch(delivery: Delivery) -> Outcome:
        event = delivery.event()
        announced = event if delivery.is_first and isinstance(event, OrderCreated) else None
        await dispatch_order(event.order_id, Receipt(DISPATCH_CONSUMER, delivery.event_id), announced)
        return ACK

    handler: Handler = Idempotency(dispatch, DISPATCH_CONSUMER, leases, inbox)
    handler = Deadline(handler, rules.deadline_seconds)
    handler = Backoff(handler)
    handler = ManualFallback(handler, DISPATCH_CONSUMER, orders, SendToManual(orders, inbox), rules.limits, rules.retry)
    handler = Parking(handler, parked, rules.retry)
    outermost = Outage(handler, stopping, rules.hold_seconds)

    async def handle(delivery: Delivery) -> Outcome:
        failpoints.hit("worker.received")
        outcome = await outermost(delivery)
        failpoints.hit("worker.before_ack")
        return outcome

    return handle


def follow_chain(
    follow_orders: FollowOrders, *, parked: Parked, rules: ChainSettings, stopping: asyncio.Event
) -> Handler:
    """outage > parking > deadline > follow; no idempotency guard, because repeating it is harmless."""

    async def follow(delivery: Delivery) -> Outcome:
        await follow_orders(delivery.event())
        failpoints.hit("fleet.after_follow")
        return ACK

    handler: Handler = Deadline(follow, rules.deadline_seconds)
    return Outage(Parking(handler, parked, rules.retry), stopping, rules.hold_seconds)


def drain_chain(parked: Parked, *, rules: ChainSettings, stopping: asyncio.Event) -> Handler:
    """Moves messages from the broker's parking queue to the dead-letter storage."""

    async def drain(delivery: Delivery) -> Outcome:
        await parked.add(replace(delivery, queue=home_queue(delivery.queue)), CRASH_LOOP)
        return ACK

    return Outage(drain, stopping, rules.hold_seconds)
