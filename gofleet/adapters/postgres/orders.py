"""Orders in PostgreSQL: every write is one statement that keeps the order and its event together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, LiteralString, NamedTuple

from loguru import logger
from psycopg.errors import UniqueViolation
from psycopg.rows import namedtuple_row

from gofleet.adapters.postgres.links import Pool, link_from
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.actor import CLIENT, SWEEPER, WORKER
from gofleet.domain.errors import AlreadyHandled, DriverBusy, NoSuchOrder, StaleOrder
from gofleet.domain.events import ORDERS_DISPATCH_REQUESTED, VERSION, to_json
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order, Reason, Status
from gofleet.domain.place import Place
from gofleet.ports import Holding, OrderFilter
from gofleet.telemetry.metrics import DISPATCH_SECONDS, INBOX_DUPLICATES, ORDER_OUTCOMES, ORDERS_ANNOUNCED_AGAIN
from gofleet.telemetry.tracing import concerning, current_trace_id, current_traceparent

ORDERS = Queries("orders")


class PostgresOrders:
    """Calls `announce` after each commit that left an event in the outbox."""

    def __init__(self, pool: Pool, announce: Callable[[], None] = lambda: None) -> None:
        self._pool = pool
        self._announce = announce

    async def add(self, order: Order) -> bool:
        concerning(order.id)
        async with link_from(self._pool) as link:
            added = await link.execute(ORDERS.add, _row_of(order) | _row_of_event(order), prepare=True)
            times = await added.fetchone()
        if times is None:
            return False
        order.created_at, order.pending_since = times
        order.as_of = order.created_at
        order.news.clear()
        self._announce()
        _tell(order)
        return True

    async def get(self, order_id: str) -> Order:
        concerning(order_id)
        async with link_from(self._pool) as link, link.cursor(row_factory=namedtuple_row) as cursor:
            await cursor.execute(ORDERS.get, {"id": order_id}, prepare=True)
            row = await cursor.fetchone()
        if row is None:
            raise NoSuchOrder(order_id)
        return _order_of(row)

    async def save(self, order: Order, receipt: Receipt | None = None) -> None:
        concerning(order.id)
        values = _row_of(order) | _row_of_event(order) | _row_of_receipt(receipt, order)
        try:
            async with link_from(self._pool) as link:
                moved = await link.execute(ORDERS.save, values, prepare=True)
                times = await moved.fetchone()
        except UniqueViolation as error:
            raise _meaning(error, order, receipt) from error
        if times is None:
            raise StaleOrder(order.id, order.stored_version)
        order.pending_since, order.dispatched_at, order.delivered_at, order.cancelled_at, order.as_of = times
        order.news.clear()
        self._announce()
        _count(order)
        _tell(order)

    async def list(self, which: OrderFilter, limit: int) -> Sequence[Order]:
        before_at, before_id = which.before or (None, None)
        values: dict[str, object] = {
            "status": which.status,
            "driver_id": which.driver_id,
            "created_after": which.created_after,
            "before_at": before_at,
            "before_id": before_id,
            "limit": limit,
        }
        # Never prepared: which conditions hold depends on what was asked for, and only a plan made for these values
        # uses the indexes. One that fits all would read, for a later page, everything before it.
        return await self._found(ORDERS.list, values, prepare=False)

    async def overdue(self, seconds: float, limit: int) -> Sequence[Order]:
        return await self._found(ORDERS.overdue, {"seconds": seconds, "limit": limit})

    async def announce_again(self, after_seconds: float, limit: int) -> Sequence[str]:
        values: dict[str, object] = {
            "seconds": after_seconds,
            "limit": limit,
            "type": ORDERS_DISPATCH_REQUESTED,
            "event_version": VERSION,
        }
        async with link_from(self._pool) as link:
            found = await link.execute(ORDERS.announce_again, values)
            announced = [str(row[0]) for row in await found.fetchall()]
        if announced:
            self._announce()
        ORDERS_ANNOUNCED_AGAIN.inc(len(announced))
        return announced

    async def oldest_pending_seconds(self) -> float:
        """How long the order that has waited longest has waited; 0 if none waits."""
        async with link_from(self._pool) as link:
            row = await (await link.execute(ORDERS.oldest_pending)).fetchone()
        return row[0] if row else 0.0

    async def live(self, after: Holding | None, limit: int) -> Sequence[Holding]:
        async with link_from(self._pool) as link:
            found = await link.execute(ORDERS.live, {"after": after.driver_id if after else "", "limit": limit})
            return [Holding(*row) for row in await found.fetchall()]

    async def _found(
        self, query: LiteralString, values: dict[str, object], *, prepare: bool | None = None
    ) -> Sequence[Order]:
        async with link_from(self._pool) as link, link.cursor(row_factory=namedtuple_row) as cursor:
            await cursor.execute(query, values, prepare=prepare)
            return [_order_of(row) for row in await cursor.fetchall()]


class _OrderRow(NamedTuple):
    id: str
    customer_id: str | None
    price: Decimal
    tax: Decimal
    final_price: Decimal
    pickup_lat: float | None
    pickup_lng: float | None
    dropoff_lat: float | None
    dropoff_lng: float | None
    status: str
    driver_id: str | None
    reason: str | None
    version: int
    created_at: datetime
    pending_since: datetime
    dispatched_at: datetime | None
    delivered_at: datetime | None
    cancelled_at: datetime | None
    as_of: datetime


def _row_of(order: Order) -> dict[str, object]:
    return {
        "id": order.id,
        "customer_id": order.customer_id,
        "price": order.price,
        "tax": order.tax,
        "final_price": order.final_price,
        "pickup_lat": order.pickup and order.pickup.lat,
        "pickup_lng": order.pickup and order.pickup.lng,
        "dropoff_lat": order.dropoff and order.dropoff.lat,
        "dropoff_lng": order.dropoff and order.dropoff.lng,
        "status": order.status.value,
        "driver_id": order.driver_id,
        "reason": order.reason and order.reason.value,
        "version": order.version,
        "moved_by": order.moved_by,
        "trace_id": current_trace_id(),
        "stored_version": order.stored_version,
    }


def _row_of_event(order: Order) -> dict[str, object]:
    (event,) = order.news  # one move, one event: more could not be kept by one version of the row
    return {
        "event_id": event.event_id,
        "seq": event.sequence,
        "event_type": event.type,
        "payload": to_json(event).decode(),
        "traceparent": current_traceparent(),
    }


def _row_of_receipt(receipt: Receipt | None, order: Order) -> dict[str, object]:
    return {
        "consumer": receipt and receipt.consumer,
        "handled_event_id": receipt and receipt.event_id,
        "outcome": order.status.value.lower(),
    }


def _order_of(columns: Any) -> Order:
    row = _OrderRow(*columns)
    return Order(
        id=row.id,
        customer_id=row.customer_id,
        price=row.price,
        tax=row.tax,
        final_price=row.final_price,
        pickup=_place(row.pickup_lat, row.pickup_lng),
        dropoff=_place(row.dropoff_lat, row.dropoff_lng),
        status=Status(row.status),
        driver_id=row.driver_id,
        reason=Reason(row.reason) if row.reason else None,
        version=row.version,
        created_at=row.created_at,
        pending_since=row.pending_since,
        dispatched_at=row.dispatched_at,
        delivered_at=row.delivered_at,
        cancelled_at=row.cancelled_at,
        as_of=row.as_of,
    )


def _count(order: Order) -> None:
    """Right behind the commit, so that what is counted is what happened."""
    by = order.moved_by if order.moved_by in (WORKER, SWEEPER) else CLIENT  # names of people have no end
    ORDER_OUTCOMES.labels(order.status.value.lower(), by).inc()
    if order.status is Status.DISPATCHED and order.dispatched_at and order.created_at:
        DISPATCH_SECONDS.observe((order.dispatched_at - order.created_at).total_seconds())


def _tell(order: Order) -> None:
    """One line for each commit, so that a query for an order's id shows its life."""
    logger.bind(order_id=order.id, version=order.version, driver_id=order.driver_id).info(
        "order {}", order.status.value
    )


def _place(lat: float | None, lng: float | None) -> Place | None:
    return None if lat is None or lng is None else Place(lat, lng)


def _meaning(error: UniqueViolation, order: Order, receipt: Receipt | None) -> Exception:
    match error.diag.constraint_name:
        case "one_live_order_per_driver":
            return DriverBusy(str(order.driver_id))
        case "inbox_pkey" if receipt is not None:
            INBOX_DUPLICATES.labels(receipt.consumer).inc()
            return AlreadyHandled(receipt.consumer, receipt.event_id)
        case _:
            return error
