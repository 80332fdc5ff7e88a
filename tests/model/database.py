"""The statements of sql/queries, as far as the protocol rests on them, and what no history may ever contain."""

from __future__ import annotations

from typing import Final, NamedTuple

from gofleet.domain.order import TRANSITIONS
from tests.model.protocol import (
    CANCELLED,
    DELIVERED,
    DISPATCHED,
    NO_HOLDER,
    PENDING,
    WAITING,
    Database,
    Order,
    Setting,
    has,
    put,
)

LEGAL: Final = {(was.value, wanted.value) for was, all_wanted in TRANSITIONS.items() for wanted in all_wanted}

# How `save` ends, named by what the caller sees.
KEPT, STALE, BUSY, HANDLED, REFUSED = "kept", "StaleOrder", "DriverBusy", "AlreadyHandled", "refused"

# What must never happen.
CANCELLED_MOVED = "a cancelled order moved"
DELIVERED_MOVED = "a delivered order moved"
DISPATCHED_TWICE = "a dispatched order was dispatched again"
OVERWRITTEN = "a transition was overwritten by one that had not read it"
DRIVER_TWICE = "a driver holds two live orders"
STRANGER = "an order was dispatched to a driver without a record"
EVENT_TWICE = "one event moved its order twice"
EXCLUDED_DISPATCHED = "a worker gave an order to a driver excluded for it"


class Saved(NamedTuple):
    how: str
    db: Database
    broken: str = ""


def save(
    setting: Setting,
    db: Database,
    order: int,
    to: tuple[str, int],
    seen: int,
    *,
    event: int = NO_HOLDER,
    new: int = NO_HOLDER,
    data: bool = False,
) -> Saved:
    """`Orders.save` of a transition `to` (status, driver) by a caller that read version `seen`; `event` is the receipt,
    `new` the announcement of the transition. Only workers have receipts. `data`: it is no transition, only its data
    has changed."""
    wanted, driver = to
    guards, stored = setting.guards, db.orders[order]
    if guards.version_check and stored.version != seen:
        return Saved(STALE, db)
    if guards.legal_moves and stored.status != wanted and (stored.status, wanted) not in LEGAL:
        return Saved(REFUSED, db)
    twice = wanted == DISPATCHED and _holds_another(db, order, driver)
    stranger = wanted == DISPATCHED and driver >= setting.drivers - setting.strangers
    excluded = wanted == DISPATCHED and event != NO_HOLDER and has(stored.excluded, driver)
    if (
        (twice and guards.one_order_per_driver)
        or (stranger and guards.registered_drivers)
        or (excluded and guards.exclusion_in_save)
    ):
        return Saved(BUSY, db)
    if guards.inbox and guards.inbox_with_move and event != NO_HOLDER and has(db.inbox, event):
        return Saved(HANDLED, db)
    if guards.one_event_per_version and seen < stored.version:
        return Saved(REFUSED, db)  # the event of version `seen` + 1 exists
    moved = Order(wanted, driver, seen + 1, stored.excluded if data else _excluded(stored, wanted))
    bit = 1 << event if event != NO_HOLDER else 0
    after = Database(
        (*db.orders[:order], moved, *db.orders[order + 1 :]),
        put(db.outbox, new, WAITING) if new != NO_HOLDER else db.outbox,
        db.inbox | bit if guards.inbox else db.inbox,
        db.applied | bit,
    )
    broken = _wrong(stored, wanted, seen, data=data) or _again(db, event) or (DRIVER_TWICE if twice else "")
    broken = broken or (STRANGER if stranger else "") or (EXCLUDED_DISPATCHED if excluded else "")
    return Saved(KEPT, after, broken)


def note(db: Database, event: int) -> Database:
    """`Inbox.note`: keeps the first outcome."""
    return db._replace(inbox=db.inbox | 1 << event)


def _excluded(stored: Order, wanted: str) -> int:
    """The exclusions after a transition: one that takes the order from its driver adds that one."""
    taken = wanted == PENDING and stored.driver != NO_HOLDER
    return stored.excluded | 1 << stored.driver if taken else stored.excluded


def _holds_another(db: Database, order: int, driver: int) -> bool:
    return any(other.status == DISPATCHED and other.driver == driver for o, other in enumerate(db.orders) if o != order)


def _wrong(stored: Order, wanted: str, seen: int, *, data: bool) -> str:
    if stored.status == CANCELLED:
        return CANCELLED_MOVED
    if stored.status == DELIVERED:
        return DELIVERED_MOVED
    if stored.status == wanted == DISPATCHED and not data:
        return DISPATCHED_TWICE
    return OVERWRITTEN if stored.version != seen else ""


def _again(db: Database, event: int) -> str:
    return EVENT_TWICE if event != NO_HOLDER and has(db.applied, event) else ""
