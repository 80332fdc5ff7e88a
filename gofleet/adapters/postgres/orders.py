"""Orders in PostgreSQL: each write is one statement that commits the order together with its event."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import LiteralString, NamedTuple

from psycopg.errors import DeadlockDetected, LockNotAvailable, QueryCanceled, UniqueViolation
from psycopg.rows import DictRow

from gofleet.adapters.batcher import Batcher, RunAlone
from gofleet.adapters.postgres.order_rows import changed_row, inserted_row, json_array, order_of, updated_row
from gofleet.adapters.postgres.pool import Pool, acquire, fetch_rows
from gofleet.adapters.postgres.queries import Queries, statement_span
from gofleet.domain.errors import AlreadyHandled, DriverBusy, OrderNotFound, StaleOrder
from gofleet.domain.events import ORDERS_DISPATCH_REQUESTED, VERSION
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order, OrderFilter, Owner, Status, order_ids
from gofleet.domain.principal import CLIENT, SWEEPER, WORKER
from gofleet.ports import Holding
from gofleet.telemetry.logging import EventLog
from gofleet.telemetry.metrics import DISPATCH_SECONDS, INBOX_DUPLICATES, ORDER_OUTCOMES, ORDERS_ANNOUNCED_AGAIN
from gofleet.telemetry.tracing import set_order_id

ORDERS = Queries("orders")
ROW_CONTENTION_ERRORS = (DeadlockDetected, LockNotAvailable, QueryCanceled)
"""Outages for psycopg; raised by a batch they mean that one of its rows was locked by another transaction."""
events = EventLog(__name__)


@dataclass(frozen=True)
class BatchLimits:
    """At most `max_size` orders in a statement, and at most `concurrency` statements of a kind at once; the second one
    begins only when the first has taken `second_after_seconds`."""

    max_size: int = 64
    concurrency: int = 2
    second_after_seconds: float = 0.02


class PostgresOrders:
    """Orders that are written or read concurrently share a statement: one round trip and one commit for all of them.

    Calls `notify` after each commit that left an event in the outbox, with whether a dispatch waits for the
    event.
    """

    def __init__(
        self, pool: Pool, notify: Callable[[bool], None] = lambda _: None, limits: BatchLimits | None = None
    ) -> None:
        self._pool = pool
        self._notify = notify
        self._batched = _BatchedOrders(pool, limits or BatchLimits())

    async def add(self, order: Order) -> bool:
        set_order_id(order.id)
        row = _Insert(order.id, inserted_row(order))
        with statement_span(ORDERS.add):
            added = await self._batched.add(row)
        if added is None:
            return False
        order.created_at, order.pending_since = added["created_at"], added["pending_since"]
        order.as_of = order.created_at
        order.pending_events.clear()
        self._notify(True)
        _log(order)
        return True

    async def get(self, order_id: str, owner: Owner | None = None) -> Order:
        set_order_id(order_id)
        with statement_span(ORDERS.get):
            rows = await self._batched.get(order_ids(order_id, owner))
        for row in rows:
            if (order := order_of(row)).is_of(owner):
                set_order_id(order.id)
                return order
        raise OrderNotFound(order_id)

    async def save(self, order: Order, receipt: Receipt | None = None) -> None:
        set_order_id(order.id)
        row = _Update(order.id, order.driver_id, updated_row(order, receipt), receipt is not None)
        try:
            with statement_span(ORDERS.save):
                saved = await self._batched.save(row)
        except UniqueViolation as error:
            if error.diag.constraint_name == "one_live_order_per_driver":
                raise DriverBusy(str(order.driver_id)) from error
            raise
        match saved["result"]:
            case "saved":
                order.created_at, order.pending_since = saved["created_at"], saved["pending_since"]
                order.dispatched_at = saved["dispatched_at"]
                order.delivered_at = saved["delivered_at"]
                order.cancelled_at = saved["cancelled_at"]
                order.as_of = saved["as_of"]
            case "busy":
                raise DriverBusy(str(order.driver_id))
            case "handled" if receipt is not None:
                INBOX_DUPLICATES.labels(receipt.consumer).inc()
                raise AlreadyHandled(receipt.consumer, receipt.event_id)
            case _:
                raise StaleOrder(order.id, order.stored_version)
        order.pending_events.clear()
        self._notify(order.status is Status.PENDING)
        _count(order)
        _log(order)

    async def change(self, order: Order) -> None:
        set_order_id(order.id)
        async with acquire(self._pool) as connection:
            rows = await fetch_rows(connection, ORDERS.change, {"row": changed_row(order).decode()}, prepare=True)
        if not rows:
            raise StaleOrder(order.id, order.stored_version)
        order.changed_at = order.as_of = rows[0]["changed_at"]
        order.pending_events.clear()
        self._notify(False)
        events.info("order changed", order_id=order.id, order_version=order.version)

    async def list(self, criteria: OrderFilter, limit: int) -> Sequence[Order]:
        before_at, before_id = criteria.before or (None, None)
        values = {
            **vars(criteria),  # the statement names those that it compares as they are
            "before_at": before_at,
            "before_id": before_id,
            "owner_customer_id": criteria.owner and criteria.owner.customer_id,
            "owner_driver_id": criteria.owner and criteria.owner.driver_id,
            "any_owner": criteria.owner is None,
            "limit": limit,
        }
        # Never prepared: which conditions apply depends on the values, and only a plan made for them uses the indexes.
        # A generic plan would read, for a later page, everything before it.
        return await self._orders(ORDERS.list, values, prepare=False)

    async def count_open(self, customer_id: str, limit: int) -> int:
        values = {"customer_id": customer_id, "limit": limit}
        async with acquire(self._pool) as connection:
            row = await (await connection.execute(ORDERS.open_of, values, prepare=True)).fetchone()
        return row[0] if row else 0

    async def overdue(self, seconds: float, limit: int) -> Sequence[Order]:
        return await self._orders(ORDERS.overdue, {"seconds": seconds, "limit": limit})

    async def republish_pending(self, after_seconds: float, limit: int) -> Sequence[str]:
        values = {
            "seconds": after_seconds,
            "limit": limit,
            "type": ORDERS_DISPATCH_REQUESTED,
            "event_version": VERSION,
        }
        async with acquire(self._pool) as connection:
            rows = await fetch_rows(connection, ORDERS.republish_pending, values)
        if rows:
            self._notify(True)
        ORDERS_ANNOUNCED_AGAIN.inc(len(rows))
        return [row["id"] for row in rows]

    async def oldest_pending_seconds(self) -> float:
        """How long the order that has been PENDING for longest has waited; 0 if none is PENDING."""
        async with acquire(self._pool) as connection:
            row = await (await connection.execute(ORDERS.oldest_pending)).fetchone()
        return row[0] if row else 0.0

    async def live(self, after: Holding | None, limit: int) -> Sequence[Holding]:
        values = {"after": after.driver_id if after else "", "limit": limit}
        async with acquire(self._pool) as connection:
            return [Holding(**row) for row in await fetch_rows(connection, ORDERS.live, values)]

    async def excluded_drivers(self, order_id: str, limit: int) -> Sequence[str]:
        async with acquire(self._pool) as connection:
            values = {"id": order_id, "limit": limit}
            return [row["driver_id"] for row in await fetch_rows(connection, ORDERS.excluded_drivers, values)]

    async def prune_exclusions(self, days: float, limit: int) -> int:
        async with acquire(self._pool) as connection:
            return (await connection.execute(ORDERS.prune_exclusions, {"days": days, "limit": limit})).rowcount

    async def _orders(
        self, query: LiteralString, values: Mapping[str, object], *, prepare: bool | None = None
    ) -> Sequence[Order]:
        async with acquire(self._pool) as connection:
            return [order_of(row) for row in await fetch_rows(connection, query, values, prepare=prepare)]


class _Insert(NamedTuple):
    id: str
    row: bytes


class _Update(NamedTuple):
    id: str
    driver_id: str | None
    row: bytes
    has_receipt: bool


class _BatchedOrders:
    """Each method returns one caller's row, None without one, or rows; `Unavailable` when it is not known what was
    committed."""

    def __init__(self, pool: Pool, limits: BatchLimits) -> None:
        self._pool = pool
        bounds = asdict(limits)
        self.add: Batcher[_Insert, DictRow | None] = Batcher(self._add, keys=_insert_keys, **bounds)
        self.save: Batcher[_Update, DictRow] = Batcher(self._save, keys=_update_keys, **bounds)
        self.get: Batcher[tuple[str, ...], Sequence[DictRow]] = Batcher(self._get, **bounds)

    async def _add(self, inserts: Sequence[_Insert]) -> Sequence[DictRow | None]:
        values = {"rows": json_array([insert.row for insert in sorted(inserts)])}
        added = await self._run(ORDERS.add, values, len(inserts))
        return [added.get(insert.id) for insert in inserts]

    async def _save(self, updates: Sequence[_Update]) -> Sequence[DictRow | RunAlone]:
        many = len(updates) > 1
        if any(update.has_receipt for update in updates):
            statement = ORDERS.save_many if many else ORDERS.save
        else:
            statement = ORDERS.save_many_without_receipt if many else ORDERS.save_without_receipt
        rows = [update.row for update in sorted(updates, key=lambda update: update.id)]
        saved = await self._run(statement, {"rows": json_array(rows), "count": len(updates)}, len(updates))
        # A row that is stale in a batch may only have been locked, and a busy driver may be free by now.
        alone = {"stale", "busy"} if many else frozenset[str]()
        return [RunAlone() if saved[update.id]["result"] in alone else saved[update.id] for update in updates]

    async def _get(self, names: Sequence[tuple[str, ...]]) -> Sequence[Sequence[DictRow]]:
        """The rows with each name's ids, in their order."""
        rows = await self._run(ORDERS.get, {"ids": list({id for ids in names for id in ids})}, len(names))
        return [[rows[id] for id in ids if id in rows] for ids in names]

    async def _run(self, statement: LiteralString, values: Mapping[str, object], count: int) -> dict[str, DictRow]:
        """The resulting rows by their ids."""
        async with acquire(self._pool) as connection:
            try:
                return {row["id"]: row for row in await fetch_rows(connection, statement, values, prepare=True)}
            except ROW_CONTENTION_ERRORS as error:
                if count > 1:
                    raise RunAlone from error
                raise


def _insert_keys(insert: _Insert) -> Iterable[Hashable]:
    return [insert.id]


def _update_keys(update: _Update) -> Iterable[Hashable]:
    return [("order", update.id), ("driver", update.driver_id)] if update.driver_id else [("order", update.id)]


def _count(order: Order) -> None:
    """Right after the commit, so that the metrics count what was committed."""
    by = order.actor if order.actor in (WORKER, SWEEPER) else CLIENT  # a label with names of users would be unbounded
    ORDER_OUTCOMES.labels(order.status.value.lower(), by).inc()
    if order.status is Status.DISPATCHED and order.dispatched_at and order.created_at:
        DISPATCH_SECONDS.observe((order.dispatched_at - order.created_at).total_seconds())


def _log(order: Order) -> None:
    """One line for each commit, so that a search for an order's id shows its history."""
    ids = {"order_id": order.id, "driver_id": order.driver_id}
    events.info(f"order {order.status.value}", **ids, order_version=order.version)
