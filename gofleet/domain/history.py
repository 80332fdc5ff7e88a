"""History of orders: one immutable entry for each version."""

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
    """Kind of a change, named by the type of its event."""

    CREATED = events.ORDERS_CREATED
    DISPATCHED = events.ORDERS_DISPATCHED
    MANUAL_DISPATCH = events.ORDERS_MANUAL_DISPATCH
    DELIVERED = events.ORDERS_DELIVERED
    CANCELLED = events.ORDERS_CANCELLED
    REDISPATCHED = events.ORDERS_REDISPATCHED
    UPDATED = events.ORDERS_UPDATED


class HistoryCursor(NamedTuple):
    """Position in the history of all orders, in increasing order; reading continues after it.

    `txid` is the number of the transaction, `id` that of the row within it. Both are opaque outside of the store.
    """

    txid: int
    id: int


@dataclass(frozen=True)
class HistoryEntry:
    """One version of an order.

    `sequence` is the order's version after it, `was_driver_id` and `driver_id` its drivers before and after, `reason`
    the reason of an escalation to manual dispatch, `trace_id` 32 hex digits.
    """

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
    client_order_id: str | None = None


@dataclass(frozen=True)
class HistoryFilter:
    """Filter for history entries; empty collections and None do not filter."""

    order_ids: frozenset[str] = frozenset()
    kinds: frozenset[ChangeKind] = frozenset()
    owner: Owner | None = None

    def matches(self, entry: HistoryEntry) -> bool:
        return (
            (not self.order_ids or entry.order_id in self.order_ids)
            and (not self.kinds or entry.kind in self.kinds)
            and (self.owner is None or owns(self.owner, entry.customer_id, entry.driver_id, entry.was_driver_id))
        )


@dataclass(frozen=True)
class HistoryPage:
    """Entries in order, complete up to the cursor `until`.

    `more` means that entries exist after `until`; `held_back` means that committed entries cannot be ordered yet
    because older transactions are still running.
    """

    entries: Sequence[HistoryEntry]
    until: HistoryCursor
    more: bool
    held_back: bool


def change_kind(was: Status | None, became: Status) -> ChangeKind:
    """Kind of the change from `was` (None for a new order) to `became`; change_kind() in sql/migrations repeats it."""
    if was is None:
        return ChangeKind.CREATED
    if was is became:
        return ChangeKind.UPDATED
    return ChangeKind.REDISPATCHED if became is Status.PENDING else ChangeKind(f"orders.{became.value.lower()}")
