"""What was done with the orders: one entry for each move, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from gofleet.domain import events
from gofleet.domain.order import Owner, Reason, Status, owns
from gofleet.domain.principal import Actor


class ChangeKind(StrEnum):
    """What was done, by the name of the event that announced it."""

    CREATED = events.ORDERS_CREATED
    DISPATCHED = events.ORDERS_DISPATCHED
    MANUAL_DISPATCH = events.ORDERS_MANUAL_DISPATCH
    DELIVERED = events.ORDERS_DELIVERED
    CANCELLED = events.ORDERS_CANCELLED
    REDISPATCHED = events.ORDERS_REDISPATCHED


class HistoryCursor(NamedTuple):
    """A place in the history of all orders, later ones greater. Whoever has read up to one goes on behind it.

    `turn` orders what was committed, `id` what came in one turn; both mean something to who gave them only.
    """

    txid: int
    id: int


@dataclass(frozen=True)
class HistoryEntry:
    """One move of an order: `sequence` is the order's version after it, `driver_id` who has the order since and
    `was_driver_id` who had it before, `reason` why it was handed to people, `trace_id` 32 hex digits."""

    cursor: HistoryCursor
    order_id: str
    sequence: int
    kind: ChangeKind
    status: Status
    driver_id: str | None
    reason: Reason | None
    actor: Actor
    at: datetime
    trace_id: str | None
    customer_id: str | None = None
    was_driver_id: str | None = None


@dataclass(frozen=True)
class HistoryFilter:
    """Which entries of the history; no `moves` = whatever was done, no `owner` = with anybody's orders."""

    order_id: str | None = None
    kinds: frozenset[ChangeKind] = frozenset()
    owner: Owner | None = None

    def matches(self, entry: HistoryEntry) -> bool:
        return (
            self.order_id in (None, entry.order_id)
            and (not self.kinds or entry.kind in self.kinds)
            and (self.owner is None or owns(self.owner, entry.customer_id, entry.driver_id, entry.was_driver_id))
        )


@dataclass(frozen=True)
class HistoryPage:
    """Entries in their order; all that are wanted up to `until` are read now. With `more` there are some behind it
    already, with `held_back` some are committed that cannot be placed until other transactions have ended."""

    entries: Sequence[HistoryEntry]
    until: HistoryCursor
    more: bool
    held_back: bool


def change_kind(was: Status | None, became: Status) -> ChangeKind:
    """What makes an order `became` out of `was`; None = there was no order."""
    if was is None:
        return ChangeKind.CREATED
    return ChangeKind.REDISPATCHED if became is Status.PENDING else ChangeKind(f"orders.{became.value.lower()}")
