"""Faulty guards that lose orders."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from redis.asyncio import Redis

from gofleet.domain.errors import FleetBreakerOpen, NoDriverNearby
from gofleet.domain.messages import ACK, Delivery, Handler, Outcome, Receipt
from gofleet.domain.order import Reason
from gofleet.ports import Orders
from gofleet.usecases.dispatch_order import SendToManual

DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Dedup:
    """SETNX for a day before the work; deleted when the work has failed, on the context of the request.

    A Redis client in Go refuses a context that is done, and the error was ignored: so after a timeout or a
    cancellation the key stays.
    """

    handler: Handler
    redis: Redis
    prefix: str

    async def __call__(self, delivery: Delivery) -> Outcome:
        key = self.prefix + delivery.event_id
        if not await self.redis.set(key, "1", nx=True, ex=DAY_SECONDS):
            return ACK  # "duplicate event dropped"
        try:
            return await self.handler(delivery)
        except asyncio.CancelledError:
            raise  # the context is cancelled
        except BaseException:
            await self.redis.delete(key)
            raise


@dataclass(frozen=True)
class FallbackOnlyOnOpen:
    """Escalates orders only while the breaker is open."""

    handler: Handler
    orders: Orders
    send_to_manual: SendToManual

    async def __call__(self, delivery: Delivery) -> Outcome:
        try:
            return await self.handler(delivery)
        except FleetBreakerOpen:
            event = delivery.event()
            await self.send_to_manual(event.order_id, Reason.FLEET_UNAVAILABLE, Receipt("dispatch", delivery.event_id))
            return ACK


@dataclass(frozen=True)
class NoDriverIsAFailure:
    """Retries `NoDriverNearby` a few times as any error, and then parks the message."""

    handler: Handler

    async def __call__(self, delivery: Delivery) -> Outcome:
        try:
            return await self.handler(delivery)
        except NoDriverNearby as error:
            raise RuntimeError("no drivers found") from error
