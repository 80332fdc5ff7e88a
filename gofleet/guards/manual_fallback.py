"""Fallback: escalates an order to manual dispatch when no driver is found in time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from gofleet.domain.errors import (
    AlreadyHandled,
    DeadlineExceeded,
    FleetBreakerOpen,
    FleetUnavailable,
    Malformed,
    NoDriverNearby,
    OrderNotFound,
    Unavailable,
)
from gofleet.domain.messages import ACK, Delivery, Handler, Outcome, Receipt, Retry
from gofleet.domain.order import Reason, Status
from gofleet.guards.parking import RetryRules
from gofleet.ports import Orders
from gofleet.usecases.dispatch_order import SendToManual


@dataclass(frozen=True)
class WaitLimits:
    """Limits of waiting: `patience_seconds` without a driver or with the breaker open, `t_max_seconds` in any case."""

    patience_seconds: float = 4.0
    t_max_seconds: float = 120.0
    retry_seconds: float = 1.0
    answer_seconds: float = 1.0
    """How soon a PostgreSQL that works has answered."""


@dataclass(frozen=True)
class ManualFallback:
    """Guard that escalates an order to manual dispatch.

    A search without result costs no attempt; a failing fleet service does, unless its breaker is open.
    """

    handler: Handler
    consumer: str
    orders: Orders
    send_to_manual: SendToManual
    limits: WaitLimits
    rules: RetryRules

    async def __call__(self, delivery: Delivery) -> Outcome:
        try:
            return await self.handler(delivery)
        except (NoDriverNearby, FleetUnavailable) as error:
            return await self._wait_or_escalate(delivery, error)
        except (Malformed, OrderNotFound, Unavailable):
            raise  # unrelated to the availability of drivers
        except Exception as error:
            if isinstance(error, DeadlineExceeded):
                await self._check_database(delivery)
            if self.rules.last(delivery):
                await self._escalate(delivery, Reason.DISPATCH_FAILED)
            raise

    async def _check_database(self, delivery: Delivery) -> None:
        """`Unavailable` while PostgreSQL does not answer: an attempt that waited for it was not a failure."""
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                await self.orders.get(delivery.event().order_id)
        except TimeoutError as error:
            raise Unavailable("PostgreSQL", f"no answer within {self.limits.answer_seconds:g} s") from error

    async def _wait_or_escalate(self, delivery: Delivery, error: NoDriverNearby | FleetUnavailable) -> Outcome:
        order = await self.orders.get(delivery.event().order_id)
        if order.status is not Status.PENDING:  # it was searched for as announced, without having been read
            return await self._escalate(delivery, Reason.FLEET_UNAVAILABLE)
        waited, expired = order.waited_seconds(), order.waited_seconds() >= self.limits.patience_seconds
        match error:
            case NoDriverNearby() if expired:
                return await self._escalate(delivery, Reason.NO_DRIVER)
            case FleetBreakerOpen() if expired:
                return await self._escalate(delivery, Reason.FLEET_UNAVAILABLE)
            case NoDriverNearby() | FleetBreakerOpen():
                return Retry(self.limits.retry_seconds)
            case FleetUnavailable() if self.rules.last(delivery) or waited >= self.limits.t_max_seconds:
                return await self._escalate(delivery, Reason.FLEET_UNAVAILABLE)
            case FleetUnavailable():
                until_t_max = max(self.limits.t_max_seconds - waited, self.limits.retry_seconds)
                return Retry(min(self.rules.delay(delivery), until_t_max), counted=True)

    async def _escalate(self, delivery: Delivery, reason: Reason) -> Outcome:
        # Already handled: the order waits because of a later event, whose message decides about it.
        with suppress(AlreadyHandled):
            event = delivery.event()
            await self.send_to_manual(event.order_id, reason, Receipt(self.consumer, delivery.event_id))
        return ACK
