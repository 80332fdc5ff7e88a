"""The routes of orders, but for their moves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, NamedTuple, Protocol

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter, SkipValidation

from gofleet.adapters.http.auth import Caller, CallerDependency
from gofleet.adapters.http.etags import etag_of, matches, parse_if_match, require_if_match
from gofleet.adapters.http.fields import ID
from gofleet.adapters.http.pagination import Cursor, order_cursor, parse_order_cursor
from gofleet.adapters.http.problem_types import ProblemType
from gofleet.adapters.http.problems import BODY_PROBLEMS, NEXT_PAGE, ResponseDoc, problem_responses
from gofleet.adapters.http.schemas.drivers import CandidateList, CandidateView
from gofleet.adapters.http.schemas.orders import (
    AssignOrder,
    NewOrder,
    OrderPage,
    OrderView,
    created_order_view,
    order_view,
)
from gofleet.adapters.http.validation import (
    IfMatch,
    IfNoneMatch,
    InvalidParameter,
    Limit,
    OrderIdPath,
    parse_identifier,
    query_filter,
    to_utc,
)
from gofleet.domain.driver import Sighting
from gofleet.domain.errors import Invalid, OrderNotFound
from gofleet.domain.order import Order, Owner, Status
from gofleet.domain.principal import Actor
from gofleet.domain.values import identifier
from gofleet.ports import OrderFilter, Orders
from gofleet.usecases.transitions import Versions


class CreateOrderCall(Protocol):
    def __call__(self, order: Order, *, own: bool = False) -> Awaitable[tuple[Order, bool]]: ...


NEXT = {
    name: {"order_id": "$response.body#/id"} for name in ("showOrder", "cancelOrder", "deliverOrder", "redispatchOrder")
}
CREATED = {
    201: ResponseDoc(OrderView, description="The order as it was accepted.", headers=("Location",), links=NEXT),
    200: ResponseDoc(
        OrderView,
        description="It was accepted before: the same answer again.",
        headers=("Location", "Idempotent-Replayed"),
        links=NEXT,
    ),
}
SHOWN = {
    200: ResponseDoc(
        OrderView,
        description="The order as it is now.",
        headers=("ETag",),
        links={
            "dispatchOrder": {"order_id": "$response.body#/id", "header.If-Match": "$response.header.ETag"},
            "cancelOrder": {"order_id": "$response.body#/id", "header.If-Match": "$response.header.ETag"},
        },
    ),
    304: ResponseDoc(None, description="The client has this version.", headers=("ETag",)),
}
LISTED = {
    200: ResponseDoc(
        OrderPage,
        description="A page of orders.",
        links={"listOrders": NEXT_PAGE},
    )
}


@post(
    "/",
    operation_id="createOrder",
    summary="Create an order",
    responses=CREATED | problem_responses(*BODY_PROBLEMS, ProblemType.ORDER_TAKEN, ProblemType.TOO_MANY_OPEN_ORDERS),
)
async def post_order(
    data: JSONBody[NewOrder], caller: CallerDependency, create_order: NamedDependency[SkipValidation[CreateOrderCall]]
) -> Response[OrderView]:
    """Accept an order. Asked again for the same, the answer is the same again, byte for byte, with status 200."""
    answer = creation_response(*await create_order(order_from(data, caller), own=caller.owner is not None))
    return Response(answer.view, status_code=answer.status, headers=answer.headers)


def order_from(asked: NewOrder, caller: Caller) -> Order:
    """The order that the caller asks for."""
    return asked.order(by=caller.actor, customer_id=caller.customer_for_new_order(asked.customer_id))


class OrderResponse(NamedTuple):
    status: int
    view: OrderView
    headers: dict[str, str]


def creation_response(order: Order, new: bool) -> OrderResponse:
    """The answer to who asked for `order`."""
    headers = {"Location": f"/api/v1/orders/{order.id}"}
    if new:
        return OrderResponse(201, order_view(order), headers)
    return OrderResponse(200, created_order_view(order), {**headers, "Idempotent-Replayed": "true"})


@get(
    "/{order_id:str}",
    operation_id="showOrder",
    summary="Show an order",
    responses=SHOWN | problem_responses(ProblemType.NO_SUCH_ORDER, ProblemType.INVALID),
)
async def get_order(
    order_id: OrderIdPath,
    caller: CallerDependency,
    orders: NamedDependency[SkipValidation[Orders]],
    if_none_match: IfNoneMatch = None,
) -> Response[OrderView | None]:
    """The order as it is now; 304 if the client has this version."""
    order = await get_owned_order(orders, parse_identifier("order_id", order_id), caller)
    tag = etag_of(order.version)
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if if_none_match and matches(if_none_match, tag):
        return Response(None, status_code=304, headers=headers)
    return Response(order_view(order), headers=headers)


async def get_owned_order(orders: Orders, order_id: str, caller: Caller) -> Order:
    """`OrderNotFound` also when it is none of the caller's: what they are answered, and what is done for it, is the
    same."""
    order = await orders.get(order_id)
    if not order.is_of(caller.owner):
        raise OrderNotFound(order_id)
    return order


@get("/", operation_id="listOrders", summary="List orders", responses=LISTED | problem_responses(ProblemType.INVALID))
async def get_orders(
    *,
    caller: CallerDependency,
    orders: NamedDependency[SkipValidation[Orders]],
    status: Annotated[Status | None, query_filter("Only those that are in it.", "PENDING")] = None,
    driver_id: Annotated[str | None, query_filter("Only those of this driver.", "maria", **ID)] = None,
    created_after: Annotated[
        datetime | None, query_filter("Only those accepted later; with a time zone.", "2026-01-31T12:00:00Z")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> OrderPage:
    """Orders, newest first, a page at a time; the pages neither repeat nor skip what existed at the first one."""
    which = OrderFilter(
        status=status,
        driver_id=None if driver_id is None else parse_identifier("driver_id", driver_id),
        created_after=created_after and to_utc("created_after", created_after, InvalidParameter),
        before=parse_order_cursor(cursor),
        owner=caller.owner,
    )
    listed = await orders.list(which, limit + 1)
    items = listed[:limit]
    more = len(listed) > limit
    return OrderPage(
        items=[order_view(order) for order in items], next_cursor=order_cursor(items[-1]) if more else None
    )


ORDER_ROUTES = (post_order, get_order, get_orders)


REFUSALS = (
    ProblemType.MALFORMED_TAG,
    ProblemType.NO_SUCH_ORDER,
    ProblemType.INVALID_TRANSITION,
    ProblemType.STALE_ORDER,
    ProblemType.VERSION_MISMATCH,
    ProblemType.INVALID,
)
MOVED = {200: ResponseDoc(OrderView, description="The order after it.", headers=("ETag",))}


class TransitionCall(Protocol):
    def __call__(
        self, order_id: str, versions: Versions = None, *, by: Actor, owner: Owner | None = None
    ) -> Awaitable[Order]: ...


class DispatchManuallyCall(Protocol):
    def __call__(self, order_id: str, driver_id: str, versions: Versions, *, by: Actor) -> Awaitable[Order]: ...


@post(
    "/{order_id:str}/cancel",
    status_code=200,
    operation_id="cancelOrder",
    summary="Cancel an order",
    responses=MOVED | problem_responses(*REFUSALS),
)
async def post_cancel(
    order_id: OrderIdPath,
    caller: CallerDependency,
    cancel_order: NamedDependency[SkipValidation[TransitionCall]],
    if_match: IfMatch = None,
) -> Response[OrderView]:
    """Call the delivery off. Cancelling a cancelled order changes nothing and answers the same."""
    order_id, versions = parse_identifier("order_id", order_id), parse_if_match(if_match)
    return _moved(await cancel_order(order_id, versions, by=caller.actor, owner=caller.owner))


@post(
    "/{order_id:str}/deliver",
    status_code=200,
    operation_id="deliverOrder",
    summary="Deliver an order",
    responses=MOVED | problem_responses(*REFUSALS),
)
async def post_deliver(
    order_id: OrderIdPath,
    caller: CallerDependency,
    deliver_order: NamedDependency[SkipValidation[TransitionCall]],
    if_match: IfMatch = None,
) -> Response[OrderView]:
    """The driver handed it over. Delivering a delivered order changes nothing and answers the same."""
    order_id, versions = parse_identifier("order_id", order_id), parse_if_match(if_match)
    return _moved(await deliver_order(order_id, versions, by=caller.actor, owner=caller.owner))


@post(
    "/{order_id:str}/dispatch",
    status_code=200,
    operation_id="dispatchOrder",
    summary="Give an order to a driver by hand",
    responses=MOVED
    | problem_responses(
        *BODY_PROBLEMS,
        *REFUSALS,
        ProblemType.PRECONDITION_REQUIRED,
        ProblemType.UNKNOWN_DRIVER,
        ProblemType.DRIVER_BUSY,
    ),
)
async def post_dispatch(
    order_id: OrderIdPath,
    data: JSONBody[AssignOrder],
    caller: CallerDependency,
    dispatch_manually: NamedDependency[SkipValidation[DispatchManuallyCall]],
    if_match: IfMatch = None,
) -> Response[OrderView]:
    """A person gives a PENDING or MANUAL_DISPATCH order to a driver of their choice. `If-Match` is required (428)."""
    order_id, driver_id = parse_identifier("order_id", order_id), identifier("driver_id", data.driver_id)
    return _moved(await dispatch_manually(order_id, driver_id, require_if_match(if_match), by=caller.actor))


@post(
    "/{order_id:str}/redispatch",
    status_code=200,
    operation_id="redispatchOrder",
    summary="Let an order be tried again",
    responses=MOVED | problem_responses(*REFUSALS),
)
async def post_redispatch(
    order_id: OrderIdPath,
    caller: CallerDependency,
    redispatch_order: NamedDependency[SkipValidation[TransitionCall]],
    if_match: IfMatch = None,
) -> Response[OrderView]:
    """A MANUAL_DISPATCH or DISPATCHED order waits for the workers again; its driver, if any, is taken off it."""
    order_id, versions = parse_identifier("order_id", order_id), parse_if_match(if_match)
    return _moved(await redispatch_order(order_id, versions, by=caller.actor, owner=caller.owner))


TRANSITION_ROUTES = (post_cancel, post_deliver, post_dispatch, post_redispatch)


def _moved(order: Order) -> Response[OrderView]:
    return Response(order_view(order), headers={"ETag": etag_of(order.version)})


FindCandidatesCall = Callable[[str, float | None, int], Awaitable[Sequence[Sighting]]]
FOUND = {200: ResponseDoc(CandidateList, description="Those near; none, if nobody is.")}


@get(
    "/{order_id:str}/candidates",
    operation_id="listCandidates",
    summary="Show who is near an order",
    responses=FOUND
    | problem_responses(
        ProblemType.NO_SUCH_ORDER, ProblemType.NO_PICKUP, ProblemType.INVALID, ProblemType.FLEET_UNAVAILABLE
    ),
)
async def get_candidates(
    order_id: OrderIdPath,
    find_candidates: NamedDependency[SkipValidation[FindCandidatesCall]],
    limit: Annotated[int, QueryParameter(ge=1, le=50, description="Items of one answer at most.")] = 5,
    radius_km: Annotated[
        float | None,
        query_filter("How far from the pickup; at most and by default what is set.", 5.0, exclusive_minimum=0),
    ] = None,
) -> CandidateList:
    """Who is on duty near the pickup of the order, or near the depot if it has none: free or not, nearest first.

    Nobody is claimed by being shown, so a driver who is free here may have an order a moment later.
    """
    try:
        found = await find_candidates(parse_identifier("order_id", order_id), radius_km, limit)
    except Invalid as error:
        if error.field != "radius_km":
            raise
        raise InvalidParameter(error.field, error.why) from error
    return CandidateList(items=[CandidateView.of(one) for one in found])
