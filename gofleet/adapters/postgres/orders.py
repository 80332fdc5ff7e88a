"""Orders in PostgreSQL: every write is one statement that keeps the order and its event together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import LiteralString

from psycopg.errors import UniqueViolation

from gofleet.adapters.postgres.batched_orders import ORDERS, BatchedOrders, BatchLimits, MovedRow, NewRow
from gofleet.adapters.postgres.order_rows import moved_row, new_row, order_of
from gofleet.adapters.postgres.pool import Pool, acquire
from gofleet.adapters.postgres.tracing import statement_span
from gofleet.domain.errors import AlreadyHandled, DriverBusy, OrderNotFound, StaleOrder
from gofleet.domain.events import ORDERS_DISPATCH_REQUESTED, VERSION
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order, Status
from gofleet.domain.principal import CLIENT, SWEEPER, WORKER
from gofleet.ports import Holding, OrderFilter
from gofleet.telemetry.logging import EventLog
from gofleet.telemetry.metrics import DISPATCH_SECONDS, INBOX_DUPLICATES, ORDER_OUTCOMES, ORDERS_ANNOUNCED_AGAIN
from gofleet.telemetry.tracing import set_order_id

events = EventLog(__name__)


class PostgresOrders:
    """Calls `announce` after each commit that left an event in the outbox."""

    def __init__(
        self, pool: Pool, announce: Callable[[], None] = lambda: None, limits: BatchLimits | None = None
    ) -> None:
        self._pool = pool
        self._announce = announce
        self._batched = BatchedOrders(pool, limits or BatchLimits())

    async def add(self, order: Order) -> bool:
        set_order_id(order.id)
        row = NewRow(order.id, new_row(order))
        with statement_span(ORDERS.add):
            times = await self._batched.add(row)
        if times is None:
            return False
        order.created_at, order.pending_since = times
        order.as_of = order.created_at
        order.pending_events.clear()
        self._announce()
        _tell(order)
        return True

    async def get(self, order_id: str) -> Order:
        set_order_id(order_id)
        with statement_span(ORDERS.get):
            columns = await self._batched.get(order_id)
        if columns is None:
            raise OrderNotFound(order_id)
        return order_of(columns)

    async def save(self, order: Order, receipt: Receipt | None = None) -> None:
        set_order_id(order.id)
        row = MovedRow(order.id, order.driver_id, moved_row(order, receipt), receipt is not None)
        try:
            with statement_span(ORDERS.save):
                saved = await self._batched.save(row)
        except UniqueViolation as error:
            if error.diag.constraint_name == "one_live_order_per_driver":
                raise DriverBusy(str(order.driver_id)) from error
            raise
        match saved.verdict:
            case "moved":
                order.pending_since, order.dispatched_at, order.delivered_at, order.cancelled_at, now = saved.times
                order.as_of = now
            case "handled" if receipt is not None:
                INBOX_DUPLICATES.labels(receipt.consumer).inc()
                raise AlreadyHandled(receipt.consumer, receipt.event_id)
            case _:
                raise StaleOrder(order.id, order.stored_version)
        order.pending_events.clear()
        self._announce()
        _count(order)
        _tell(order)

    async def list(self, criteria: OrderFilter, limit: int) -> Sequence[Order]:
        before_at, before_id = criteria.before or (None, None)
        values: dict[str, object] = {
            "status": criteria.status,
            "driver_id": criteria.driver_id,
            "created_after": criteria.created_after,
            "before_at": before_at,
            "before_id": before_id,
            "owner_customer_id": criteria.owner and criteria.owner.customer_id,
            "owner_driver_id": criteria.owner and criteria.owner.driver_id,
            "anybody": criteria.owner is None,
            "limit": limit,
        }
        # Never prepared: which conditions hold depends on what was asked for, and only a plan made for these values
        # uses the indexes. One that fits all would read, for a later page, everything before it.
        return await self._found(ORDERS.list, values, prepare=False)

    async def count_open(self, customer_id: str, limit: int) -> int:
        async with acquire(self._pool) as link:
            found = await link.execute(ORDERS.open_of, {"customer_id": customer_id, "limit": limit}, prepare=True)
            row = await found.fetchone()
        return row[0] if row else 0

    async def overdue(self, seconds: float, limit: int) -> Sequence[Order]:
        return await self._found(ORDERS.overdue, {"seconds": seconds, "limit": limit})

    async def republish_pending(self, after_seconds: float, limit: int) -> Sequence[str]:
        values: dict[str, object] = {
            "seconds": after_seconds,
            "limit": limit,
            "type": ORDERS_DISPATCH_REQUESTED,
            "event_version": VERSION,
        }
        async with acquire(self._pool) as link:
            found = await link.execute(ORDERS.republish_pending, values)
            announced = [str(row[0]) for row in await found.fetchall()]
        if announced:
            self._announce()
        ORDERS_ANNOUNCED_AGAIN.inc(len(announced))
        return announced

    async def oldest_pending_seconds(self) -> float:
        """How long the order that has waited longest has waited; 0 if none waits."""
        async with acquire(self._pool) as link:
            row = await (await link.execute(ORDERS.oldest_pending)).fetchone()
        return row[0] if row else 0.0

    async def live(self, after: Holding | None, limit: int) -> Sequence[Holding]:
        async with acquire(self._pool) as link:
            found = await link.execute(ORDERS.live, {"after": after.driver_id if after else "", "limit": limit})
            return [Holding(*row) for row in await found.fetchall()]

    async def _found(
        self, query: LiteralString, values: dict[str, object], *, prepare: bool | None = None
    ) -> Sequence[Order]:
        async with acquire(self._pool) as link:
            found = await link.execute(query, values, prepare=prepare)
            return [order_of(row) for row in await found.fetchall()]


def _count(order: Order) -> None:
    """Right behind the commit, so that what is counted is what happened."""
    by = order.actor if order.actor in (WORKER, SWEEPER) else CLIENT  # names of people have no end
    ORDER_OUTCOMES.labels(order.status.value.lower(), by).inc()
    if order.status is Status.DISPATCHED and order.dispatched_at and order.created_at:
        DISPATCH_SECONDS.observe((order.dispatched_at - order.created_at).total_seconds())


def _tell(order: Order) -> None:
    """One line for each commit, so that a query for an order's id shows its life."""
    events.info(f"order {order.status.value}", order_id=order.id, version=order.version, driver_id=order.driver_id)
