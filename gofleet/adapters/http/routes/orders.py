"""The routes of orders, but for their moves."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import Annotated, NamedTuple, Protocol

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation

from gofleet.adapters.http.access import Caller, CallerPart
from gofleet.adapters.http.answers import AFTER, Answer
from gofleet.adapters.http.etags import matches, tag_of
from gofleet.adapters.http.fields import ID
from gofleet.adapters.http.pagination import Cursor, after_order, order_behind
from gofleet.adapters.http.parameters import (
    BadParameter,
    IfNoneMatch,
    Limit,
    OrderId,
    aware,
    filtering,
    parameter_id,
)
from gofleet.adapters.http.problem_types import Slug
from gofleet.adapters.http.problems import BODY, documented
from gofleet.adapters.http.schemas.orders import NewOrder, OrderPage, OrderView, as_created, present
from gofleet.domain.errors import OrderNotFound
from gofleet.domain.order import Order, Status
from gofleet.ports import OrderFilter, Orders


class CreateOrderCall(Protocol):
    def __call__(self, order: Order, *, own: bool = False) -> Awaitable[tuple[Order, bool]]: ...


NEXT = {
    name: {"order_id": "$response.body#/id"} for name in ("showOrder", "cancelOrder", "deliverOrder", "redispatchOrder")
}
CREATED = {
    201: Answer(OrderView, description="The order as it was accepted.", headers=("Location",), links=NEXT),
    200: Answer(
        OrderView,
        description="It was accepted before: the same answer again.",
        headers=("Location", "Idempotent-Replayed"),
        links=NEXT,
    ),
}
SHOWN = {
    200: Answer(
        OrderView,
        description="The order as it is now.",
        headers=("ETag",),
        links={
            "dispatchOrder": {"order_id": "$response.body#/id", "header.If-Match": "$response.header.ETag"},
            "cancelOrder": {"order_id": "$response.body#/id", "header.If-Match": "$response.header.ETag"},
        },
    ),
    304: Answer(None, description="The client has this version.", headers=("ETag",)),
}
LISTED = {
    200: Answer(
        OrderPage,
        description="A page of orders.",
        links={"listOrders": AFTER},
    )
}


@post(
    "/",
    operation_id="createOrder",
    summary="Create an order",
    responses=CREATED | documented(*BODY, Slug.ORDER_TAKEN, Slug.TOO_MANY_OPEN_ORDERS),
)
async def create(
    data: JSONBody[NewOrder], caller: CallerPart, create_order: NamedDependency[SkipValidation[CreateOrderCall]]
) -> Response[OrderView]:
    """Accept an order. Asked again for the same, the answer is the same again, byte for byte, with status 200."""
    answer = accepted(*await create_order(ordered(data, caller), own=caller.owner is not None))
    return Response(answer.view, status_code=answer.status, headers=answer.headers)


def ordered(asked: NewOrder, caller: Caller) -> Order:
    """The order that the caller asks for."""
    return asked.order(by=caller.actor, customer_id=caller.customer(asked.customer_id))


class OrderAnswer(NamedTuple):
    status: int
    view: OrderView
    headers: dict[str, str]


def accepted(order: Order, new: bool) -> OrderAnswer:
    """The answer to who asked for `order`."""
    headers = {"Location": f"/api/v1/orders/{order.id}"}
    if new:
        return OrderAnswer(201, present(order), headers)
    return OrderAnswer(200, as_created(order), {**headers, "Idempotent-Replayed": "true"})


@get(
    "/{order_id:str}",
    operation_id="showOrder",
    summary="Show an order",
    responses=SHOWN | documented(Slug.NO_SUCH_ORDER, Slug.INVALID),
)
async def show(
    order_id: OrderId,
    caller: CallerPart,
    orders: NamedDependency[SkipValidation[Orders]],
    if_none_match: IfNoneMatch = None,
) -> Response[OrderView | None]:
    """The order as it is now; 304 if the client has this version."""
    order = await found(orders, parameter_id("order_id", order_id), caller)
    tag = tag_of(order.version)
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if if_none_match and matches(if_none_match, tag):
        return Response(None, status_code=304, headers=headers)
    return Response(present(order), headers=headers)


async def found(orders: Orders, order_id: str, caller: Caller) -> Order:
    """`OrderNotFound` also when it is none of the caller's: what they are answered, and what is done for it, is the
    same."""
    order = await orders.get(order_id)
    if not order.is_of(caller.owner):
        raise OrderNotFound(order_id)
    return order


@get("/", operation_id="listOrders", summary="List orders", responses=LISTED | documented(Slug.INVALID))
async def listing(
    *,
    caller: CallerPart,
    orders: NamedDependency[SkipValidation[Orders]],
    status: Annotated[Status | None, filtering("Only those that are in it.", "PENDING")] = None,
    driver_id: Annotated[str | None, filtering("Only those of this driver.", "maria", **ID)] = None,
    created_after: Annotated[
        datetime | None, filtering("Only those accepted later; with a time zone.", "2026-01-31T12:00:00Z")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> OrderPage:
    """Orders, newest first, a page at a time; the pages neither repeat nor skip what existed at the first one."""
    which = OrderFilter(
        status=status,
        driver_id=None if driver_id is None else parameter_id("driver_id", driver_id),
        created_after=created_after and aware("created_after", created_after, BadParameter),
        before=order_behind(cursor),
        owner=caller.owner,
    )
    listed = await orders.list(which, limit + 1)
    items = listed[:limit]
    more = len(listed) > limit
    return OrderPage(items=[present(order) for order in items], next_cursor=after_order(items[-1]) if more else None)


ORDER_ROUTES = (create, show, listing)
