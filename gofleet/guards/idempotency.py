"""Idempotency guard: one worker at a time handles an event, and a handled event is not handled again.

The lease and the done mark in Redis only save work: a second run is harmless because of the inbox row and the
conditional update. Losing them costs a second run; when Redis is unavailable the guard fails closed: the message stays
unacknowledged. A redelivered message takes over the lease that it finds, for its last consumer was lost; this proves no
death, so both may handle the event at once, which is harmless for the same reason.
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
from gofleet.ports import Inbox, Lease, Leases, LeaseState

BUSY_RETRY_SECONDS_MAX = 5.0
"""Maximum delay of the retry of a BUSY message, even if its lease lasts longer."""
TAKE_OVER_CRASHES_MAX = 2
"""Lost consumers after which a lease is still taken over at once. Beyond that the message must wait for each lease to
expire, or one that kills its worker would kill all of them within seconds."""
CLEANUP_SECONDS = 0.5


@dataclass(frozen=True)
class Idempotency:
    """Idempotency guard of `consumer`; the lease key is the event id from the `x-event-id` header."""

    handler: Handler
    consumer: str
    leases: Leases
    inbox: Inbox

    async def __call__(self, delivery: Delivery) -> Outcome:
        key, token = f"{self.consumer}:{delivery.event_id}", uuid4().hex
        lease = await self.leases.acquire(key, token)
        match lease.state:
            case LeaseState.BUSY if not 0 < delivery.crashes <= TAKE_OVER_CRASHES_MAX:
                return _retry(lease)
            case LeaseState.DONE if await self.inbox.outcome(Receipt(self.consumer, delivery.event_id)) is not None:
                return ACK
            case LeaseState.BUSY | LeaseState.DONE:  # DONE without an inbox row: the database lost a commit
                if not await self.leases.take_over(key, token, lease):
                    return _retry(lease)
            case LeaseState.ACQUIRED:
                pass
        return await self._handle(delivery, key, token)

    async def _handle(self, delivery: Delivery, key: str, token: str) -> Outcome:
        try:
            failpoints.hit("worker.after_lease")
            outcome = await self.handler(delivery)
        except AlreadyHandled:
            outcome = ACK
        except BaseException:  # cancellation too: the next attempt must not wait for this lease to expire
            await _best_effort(self.leases.release(key, token))
            raise
        failpoints.hit("worker.before_done")
        if isinstance(outcome, Ack):
            await _best_effort(self.leases.finish(key, token))
        else:
            await _best_effort(self.leases.release(key, token))
        return outcome


def _retry(lease: Lease) -> Retry:
    """Retried, never acknowledged as a duplicate: the holder of the lease may crash before it commits."""
    return Retry(min(lease.seconds_left + 0.1, BUSY_RETRY_SECONDS_MAX))


async def _best_effort(cleaning: Awaitable[None]) -> None:
    """Run `cleaning` within a time limit of its own, since the handler's may have expired; a failure is harmless."""
    await asyncio.shield(asyncio.ensure_future(_bounded(cleaning)))


async def _bounded(cleaning: Awaitable[None]) -> None:
    with suppress(Unavailable, TimeoutError):
        async with asyncio.timeout(CLEANUP_SECONDS):  # `wait_for` would create another task
            await cleaning
