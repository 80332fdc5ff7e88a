from __future__ import annotations

from dataclasses import dataclass

from gofleet.ports import Inbox, Outbox, Parked


@dataclass(frozen=True)
class Retention:
    """After how many days published events, handled events and replayed messages are forgotten."""

    outbox_days: float
    inbox_days: float
    parked_days: float


@dataclass(frozen=True)
class PruneMessages:
    """Forget a batch of what is long over; returns how many rows. What still waits for anybody is never forgotten."""

    outbox: Outbox
    inbox: Inbox
    parked: Parked
    retention: Retention
    batch: int

    async def __call__(self) -> int:
        return (
            await self.outbox.prune(self.retention.outbox_days, self.batch)
            + await self.inbox.prune(self.retention.inbox_days, self.batch)
            + await self.parked.prune(self.retention.parked_days, self.batch)
        )
