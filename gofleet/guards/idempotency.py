"""Idempotency: one worker at a time works on an event, and a finished event is not begun again.

The lease and the done mark live in Redis and only save work: what makes a second run harmless is the inbox row and
the conditional update. So losing them costs a second run, while a lease that cannot be asked for stops the work
(fail closed): the message stays with us, unacknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from gofleet import failpoints
from gofleet.domain.errors import AlreadyHandled, Unavailable
from gofleet.domain.messages import ACK, Ack, Delivery, Handler, Outcome, Receipt, Retry
from gofleet.ports import Inbox, Leases, LeaseState

BUSY_RETRY_SECONDS_MAX = 5.0
"""A BUSY message comes back at the latest after this long, though its lease may run longer."""
CLEAN_UP_SECONDS = 0.5


@dataclass(frozen=True)
class Idempotency:
    """`consumer` names whose inbox this is; the key of a lease is the event's id, as in the `x-event-id` header."""

    handler: Handler
    consumer: str
    leases: Leases
    inbox: Inbox

    async def __call__(self, delivery: Delivery) -> Outcome:
        key, token = f"{self.consumer}:{delivery.event_id}", uuid4().hex
        lease = await self.leases.acquire(key, token)
        if lease.state is LeaseState.BUSY:
            # "Later", never "duplicate, forget it": whoever holds the lease may die before it commits.
            return Retry(min(lease.seconds_left + 0.1, BUSY_RETRY_SECONDS_MAX))
        if lease.state is LeaseState.DONE:
            if await self.inbox.outcome(Receipt(self.consumer, delivery.event_id)) is not None:
                return ACK
            await self.leases.take_over(key, token)  # the mark outlived what it stood for: the database lost it
        return await self._handle(delivery, key, token)

    async def _handle(self, delivery: Delivery, key: str, token: str) -> Outcome:
        try:
            failpoints.hit("worker.after_lease")
            verdict = await self.handler(delivery)
        except AlreadyHandled:
            verdict = ACK
        except BaseException:  # cancellation too: the next try must not wait for this lease to run out
            await _anyway(self.leases.release(key, token))
            raise
        failpoints.hit("worker.before_done")
        if isinstance(verdict, Ack):
            await _anyway(self.leases.finish(key, token))
        else:
            await _anyway(self.leases.release(key, token))
        return verdict


async def _anyway(cleaning: Awaitable[None]) -> None:
    """Clean up within a bound of its own, not the handler's, which may just have run out; failing is harmless."""
    await asyncio.shield(asyncio.ensure_future(_bounded(cleaning)))


async def _bounded(cleaning: Awaitable[None]) -> None:
    with suppress(Unavailable, TimeoutError):
        async with asyncio.timeout(CLEAN_UP_SECONDS):  # `wait_for` would make one more task of it
            await cleaning
