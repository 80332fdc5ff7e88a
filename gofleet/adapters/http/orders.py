"""The routes of orders, but for their moves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter, SkipValidation

from gofleet.adapters.http.parameters import BadParameter, aware, cursor_after, parameter_id, position_of
from gofleet.adapters.http.problems import documented
from gofleet.adapters.http.schemas import NewOrder, OrderPage, OrderView, as_created, present
from gofleet.adapters.http.tags import matches, tag_of
from gofleet.domain.order import Order, Status
from gofleet.ports import OrderFilter, Orders

CreateOrder = Callable[[Order], Awaitable[tuple[Order, bool]]]
REPEATED = {200: ResponseSpec(OrderView, description="The order was accepted before; `Idempotent-Replayed: true`")}


@post("/", summary="Create an order", responses=REPEATED | documented(400, 408, 409, 413, 415, 422, 503))
async def create(
    data: JSONBody[NewOrder], create_order: NamedDependency[SkipValidation[CreateOrder]]
) -> Response[OrderView]:
    """Accept an order. Asked again for the same, the answer is the same again, byte for byte, with status 200."""
    order, new = await create_order(data.order())
    headers = {"Location": f"/api/v1/orders/{order.id}"}
    if new:
        return Response(as_created(order), status_code=201, headers=headers)
    return Response(as_created(order), status_code=200, headers={**headers, "Idempotent-Replayed": "true"})


@get("/{order_id:str}", summary="Show an order", responses=documented(404, 422, 503))
async def show(
    order_id: FromPath[str],
    orders: NamedDependency[SkipValidation[Orders]],
    if_none_match: Annotated[str | None, HeaderParameter(name="If-None-Match")] = None,
) -> Response[OrderView | None]:
    """The order as it is now; 304 if the client has this version."""
    order = await orders.get(parameter_id("order_id", order_id))
    tag = tag_of(order.version)
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if if_none_match and matches(if_none_match, tag):
        return Response(None, status_code=304, headers=headers)
    return Response(present(order), headers=headers)


@get("/", summary="List orders", responses=documented(422, 503))
async def listing(
    *,
    orders: NamedDependency[SkipValidation[Orders]],
    status: FromQuery[Status | None] = None,
    driver_id: FromQuery[str | None] = None,
    created_after: FromQuery[datetime | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=100)] = 50,
    cursor: FromQuery[str | None] = None,
) -> OrderPage:
    """Orders, newest first, a page at a time; the pages neither repeat nor skip what existed at the first one."""
    which = OrderFilter(
        status=status,
        driver_id=driver_id and parameter_id("driver_id", driver_id),
        created_after=created_after and aware("created_after", created_after, BadParameter),
        before=position_of(cursor) if cursor else None,
    )
    found = await orders.list(which, limit + 1)
    items = found[:limit]
    more = len(found) > limit
    return OrderPage(items=[present(order) for order in items], next_cursor=cursor_after(items[-1]) if more else None)


ORDER_ROUTES = (create, show, listing)
