"""Relay: publication of the outbox and replay of parked messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gofleet import failpoints
from gofleet.domain.errors import MessageRefused
from gofleet.ports import Outbox, Parked, Publisher


class Relayed(NamedTuple):
    """The number of confirmed events, and whether the next batch may be claimed at once: this one was at least half
    full (the broker may have refused some), or later events of its orders wait behind it."""

    events: int = 0
    more: bool = False

    def __bool__(self) -> bool:
        """Whether any event was confirmed, as for a number of events."""
        return self.events > 0


@dataclass(frozen=True)
class RelayOutbox:
    """Use case that publishes one batch of the outbox.

    The rows stay claimed until the broker has confirmed: a relay that crashes in between releases them, and their
    events may be published twice but are never lost. `Unavailable` when the broker confirmed nothing because it is
    unreachable, which does not count as an attempt.
    """

    outbox: Outbox
    publisher: Publisher
    batch: int

    async def __call__(self) -> Relayed:
        async with self.outbox.claiming(self.batch) as claim:
            if not claim.messages:
                return Relayed()
            failpoints.hit("relay.after_claim")
            results = await self.publisher.publish(claim.messages)
            failpoints.hit("relay.after_publish")
            behind = await claim.settle(results)
            failpoints.hit("relay.after_settle")
        failpoints.hit("relay.after_commit")
        unconfirmed = [result for result in results if result is not None and not isinstance(result, MessageRefused)]
        if unconfirmed and len(unconfirmed) == len(results):
            raise unconfirmed[0]
        confirmed = sum(result is None for result in results)
        return Relayed(confirmed, behind or 2 * confirmed >= self.batch)


@dataclass(frozen=True)
class ReplayParked:
    """Use case that returns one batch of parked messages with a requested replay to their queues; returns the number.

    They stay claimed until the broker has confirmed: after a crash in between they may be delivered twice with the same
    event id, which their consumers apply once. `Unavailable` when the broker confirmed nothing.
    """

    parked: Parked
    publisher: Publisher
    batch: int

    async def __call__(self) -> int:
        async with self.parked.claiming(self.batch) as claim:
            if not claim.deliveries:
                return 0
            results = await self.publisher.put_back(claim.deliveries)
            await claim.settle(results)
        unconfirmed = [result for result in results if result is not None and not isinstance(result, MessageRefused)]
        if unconfirmed and len(unconfirmed) == len(results):
            raise unconfirmed[0]
        return len(results) - len(unconfirmed)
