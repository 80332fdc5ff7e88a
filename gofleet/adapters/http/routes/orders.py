"""Routes of orders: create, show, list, find candidates, and the transitions.

A transition that was made before is not repeated: the response is the current order again. `If-Match` with the ETag of
the version that the client has seen prevents the transition of an order that was changed in between (412). A transition
that was made before is answered before versions are compared, because a client that received no response retries with
the ETag it has. Redispatch is repeatable only while the order is PENDING: without an ETag, a retry takes the order off
the next driver.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Annotated, Any, NamedTuple, Protocol

from litestar import Request, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody, QueryParameter, SkipValidation

from gofleet.adapters.http.auth import Caller, CallerDependency
from gofleet.adapters.http.etags import etag_of, matches, parse_if_match, require_if_match
from gofleet.adapters.http.faults import InvalidParameter
from gofleet.adapters.http.pagination import order_cursor, page_of
from gofleet.adapters.http.problem_types import ProblemType
from gofleet.adapters.http.problems import BODY_PROBLEMS, NEXT_PAGE, ResponseDoc, problem_responses
from gofleet.adapters.http.query import AN_ID
from gofleet.adapters.http.schemas.drivers import CandidateList, CandidateView
from gofleet.adapters.http.schemas.orders import (
    AssignOrder,
    NewOrder,
    OrderPage,
    OrderView,
    created_order_view,
    order_filter,
    order_view,
)
from gofleet.adapters.http.validation import (
    IDEMPOTENCY_KEY,
    IdempotencyKey,
    IfMatch,
    IfNoneMatch,
    Limit,
    OrderIdPath,
    id_filter,
    parse_idempotency_key,
    parse_identifier,
    query_filter,
)
from gofleet.domain.driver import Sighting
from gofleet.domain.errors import Invalid
from gofleet.domain.order import Order, OrderFilter, Owner
from gofleet.domain.order_ids import order_name
from gofleet.domain.principal import Actor
from gofleet.domain.values import identifier
from gofleet.ports import Orders
from gofleet.usecases.transitions import Versions


# The use cases as the API calls them, with or without instrumentation.
class CreateOrderCall(Protocol):
    def __call__(
        self, order: Order, *, own: bool = False, may_be_new: bool = True
    ) -> Awaitable[tuple[Order, bool]]: ...


class TransitionCall(Protocol):
    def __call__(
        self, order_id: str, versions: Versions = None, *, by: Actor, owner: Owner | None = None
    ) -> Awaitable[Order]: ...


class DispatchManuallyCall(Protocol):
    def __call__(self, order_id: str, driver_id: str, versions: Versions, *, by: Actor) -> Awaitable[Order]: ...


class FindCandidatesCall(Protocol):
    def __call__(
        self, order_id: str, radius_km: float | None, limit: int, driver_id: str | None = None
    ) -> Awaitable[Sequence[Sighting]]: ...


OrdersPort = NamedDependency[SkipValidation[Orders]]
TransitionPart = NamedDependency[SkipValidation[TransitionCall]]

BY_ID = {"order_id": "$response.body#/id"}
AT_VERSION = {**BY_ID, "header.If-Match": "$response.header.ETag"}
LINKS: dict[str, dict[str, str]] = dict.fromkeys(("showOrder", "cancelOrder", "deliverOrder", "redispatchOrder"), BY_ID)
ORDER_CREATED = {
    201: ResponseDoc(OrderView, description="The order as accepted.", headers=("Location",), links=LINKS),
    200: ResponseDoc(
        OrderView,
        description="The order was accepted before; the same response again.",
        headers=("Location", "Idempotent-Replayed"),
        links=LINKS,
    ),
}
ORDER_SHOWN = {
    200: ResponseDoc(
        OrderView,
        description="The current order.",
        headers=("ETag",),
        links={"changeOrder": AT_VERSION, "dispatchOrder": AT_VERSION, "cancelOrder": AT_VERSION},
    ),
    304: ResponseDoc(None, description="The client has the current version.", headers=("ETag",)),
}
ORDERS_LISTED = {200: ResponseDoc(OrderPage, description="A page of orders.", links={"listOrders": NEXT_PAGE})}
CANDIDATES_LISTED = {
    200: ResponseDoc(CandidateList, description="The drivers near the pickup; empty if there are none.")
}
ORDER_CHANGED = {200: ResponseDoc(OrderView, description="The order after the transition.", headers=("ETag",))}
TRANSITION_PROBLEMS = (
    ProblemType.MALFORMED_TAG,
    ProblemType.NO_SUCH_ORDER,
    ProblemType.INVALID_TRANSITION,
    ProblemType.STALE_ORDER,
    ProblemType.VERSION_MISMATCH,
    ProblemType.INVALID,
)


@post(
    "/",
    operation_id="createOrder",
    summary="Create an order",
    responses=ORDER_CREATED
    | problem_responses(*BODY_PROBLEMS, ProblemType.ORDER_TAKEN, ProblemType.TOO_MANY_OPEN_ORDERS),
)
async def post_order(
    data: JSONBody[NewOrder],
    request: Request[Any, Any, Any],
    caller: CallerDependency,
    create_order: NamedDependency[SkipValidation[CreateOrderCall]],
    idempotency_key: IdempotencyKey = None,
) -> Response[OrderView]:
    """Accept an order. A repeated request with the same content receives the same body again, with status 200. Without
    an `id` the `Idempotency-Key` makes it repeatable, among the requests of the same caller."""
    key = None if idempotency_key is None else parse_idempotency_key(request.scope)
    return litestar_response(await create(data, key, caller, create_order))


async def create(request: NewOrder, key: str | None, caller: Caller, create_order: CreateOrderCall) -> OrderResponse:
    """Create the order in the caller's request, on the fast path as well; `key` is the Idempotency-Key."""
    own, customer_id = caller.owner is not None, caller.customer_for_new_order(request.customer_id)
    name = order_name(request.id, key, customer_id=customer_id if own else None, caller_id=caller.principal.subject)
    order = request.to_order(name, by=caller.actor, customer_id=customer_id)
    return _creation_response(*await create_order(order, own=own, may_be_new=name.may_be_new))


class OrderResponse(NamedTuple):
    status: int
    view: OrderView
    headers: dict[str, str]


def _creation_response(order: Order, new: bool) -> OrderResponse:
    """The response to a request for `order`, which is `new` or was accepted before."""
    headers = {"Location": f"/api/v1/orders/{order.id}"}
    if new:
        return OrderResponse(201, order_view(order), headers)
    return OrderResponse(200, created_order_view(order), {**headers, "Idempotent-Replayed": "true"})


def transition_response(order: Order) -> OrderResponse:
    """The response to a transition, with the order after it."""
    return OrderResponse(200, order_view(order), {"ETag": etag_of(order.version)})


@get(
    "/{order_id:str}",
    operation_id="showOrder",
    summary="Show an order",
    responses=ORDER_SHOWN | problem_responses(ProblemType.NO_SUCH_ORDER, ProblemType.INVALID),
)
async def get_order(
    order_id: OrderIdPath, caller: CallerDependency, orders: OrdersPort, if_none_match: IfNoneMatch = None
) -> Response[OrderView | None]:
    """The current order, or 304 if the client has its version."""
    order = await orders.get(parse_identifier("order_id", order_id), caller.owner)
    tag = etag_of(order.version)
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if if_none_match and matches(if_none_match, tag):
        return Response(None, status_code=304, headers=headers)
    return Response(order_view(order), headers=headers)


@get(
    "/",
    operation_id="listOrders",
    summary="List orders",
    responses=ORDERS_LISTED | problem_responses(ProblemType.INVALID),
    dependencies={"criteria": Provide(order_filter, sync_to_thread=False)},
)
async def get_orders(
    criteria: NamedDependency[SkipValidation[OrderFilter]], orders: OrdersPort, limit: Limit = 50
) -> OrderPage:
    """Orders, newest first. The pages neither repeat nor skip orders that existed at the first page."""
    page, next_cursor = page_of(await orders.list(criteria, limit + 1), limit, order_cursor)
    return OrderPage(items=[order_view(order) for order in page], next_cursor=next_cursor)


@get(
    "/{order_id:str}/candidates",
    operation_id="listCandidates",
    summary="List the drivers near an order",
    responses=CANDIDATES_LISTED
    | problem_responses(
        ProblemType.NO_SUCH_ORDER, ProblemType.NO_PICKUP, ProblemType.INVALID, ProblemType.FLEET_UNAVAILABLE
    ),
)
async def get_candidates(
    order_id: OrderIdPath,
    find_candidates: NamedDependency[SkipValidation[FindCandidatesCall]],
    limit: Annotated[int, QueryParameter(ge=1, le=50, description="Maximum number of items.")] = 5,
    radius_km: Annotated[
        float | None,
        query_filter(
            "Distance from the pickup; the configured radius is the default and the maximum.", 5.0, exclusive_minimum=0
        ),
    ] = None,
    driver_id: Annotated[
        str | None, id_filter("Only this driver, at whatever distance, on duty or not.", "maria"), AN_ID
    ] = None,
) -> CandidateList:
    """Drivers on duty near the pickup of the order, free or not, nearest first; near the depot if it has no pickup.

    The drivers are not reserved: one that is free here may receive another order at any time.
    """
    try:
        chosen = None if driver_id is None else parse_identifier("driver_id", driver_id)
        sightings = await find_candidates(parse_identifier("order_id", order_id), radius_km, limit, chosen)
    except Invalid as error:
        if error.field != "radius_km":
            raise
        raise InvalidParameter(error.field, error.why) from error
    return CandidateList(items=[CandidateView.of(sighting) for sighting in sightings])


@post(
    "/{order_id:str}/cancel",
    status_code=200,
    operation_id="cancelOrder",
    summary="Cancel an order",
    responses=ORDER_CHANGED | problem_responses(*TRANSITION_PROBLEMS),
)
async def post_cancel(
    order_id: OrderIdPath, caller: CallerDependency, cancel_order: TransitionPart, if_match: IfMatch = None
) -> Response[OrderView]:
    """Cancel the delivery. Cancelling a cancelled order changes nothing and returns the same response."""
    order_id, versions = parse_identifier("order_id", order_id), parse_if_match(if_match)
    return _changed(await cancel_order(order_id, versions, by=caller.actor, owner=caller.owner))


@post(
    "/{order_id:str}/deliver",
    status_code=200,
    operation_id="deliverOrder",
    summary="Mark an order as delivered",
    responses=ORDER_CHANGED | problem_responses(*TRANSITION_PROBLEMS),
)
async def post_deliver(
    order_id: OrderIdPath, caller: CallerDependency, deliver_order: TransitionPart, if_match: IfMatch = None
) -> Response[OrderView]:
    """Record the delivery. Delivering a delivered order changes nothing and returns the same response."""
    order_id, versions = parse_identifier("order_id", order_id), parse_if_match(if_match)
    return _changed(await deliver_order(order_id, versions, by=caller.actor, owner=caller.owner))


@post(
    "/{order_id:str}/dispatch",
    status_code=200,
    operation_id="dispatchOrder",
    summary="Dispatch an order manually",
    responses=ORDER_CHANGED
    | problem_responses(
        *BODY_PROBLEMS,
        *TRANSITION_PROBLEMS,
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
    """Assign a PENDING or MANUAL_DISPATCH order to a driver of the caller's choice. `If-Match` is required (428)."""
    order_id, driver_id = parse_identifier("order_id", order_id), identifier("driver_id", data.driver_id)
    return _changed(await dispatch_manually(order_id, driver_id, require_if_match(if_match), by=caller.actor))


@post(
    "/{order_id:str}/redispatch",
    status_code=200,
    operation_id="redispatchOrder",
    summary="Return an order to automatic dispatch",
    responses=ORDER_CHANGED | problem_responses(*TRANSITION_PROBLEMS),
)
async def post_redispatch(
    order_id: OrderIdPath,
    caller: CallerDependency,
    redispatch_order: TransitionPart,
    request: Request[Any, Any, Any],
    if_match: IfMatch = None,
) -> Response[OrderView]:
    """Return a MANUAL_DISPATCH or DISPATCHED order to PENDING, from which the workers dispatch it again. Its driver, if
    it has one, is unassigned; for EXCLUSION_SECONDS only a manual dispatch gives the order to that driver again. An
    `Idempotency-Key` is refused without `If-Match`, which makes it repeatable."""
    order_id = parse_identifier("order_id", order_id)
    if if_match is None and IDEMPOTENCY_KEY in request.headers:
        raise InvalidParameter(IDEMPOTENCY_KEY, "must come with If-Match, which makes a redispatch repeatable")
    versions = parse_if_match(if_match)
    return _changed(await redispatch_order(order_id, versions, by=caller.actor, owner=caller.owner))


ORDER_ROUTES = (
    post_order,
    get_order,
    get_orders,
    get_candidates,
    post_cancel,
    post_deliver,
    post_dispatch,
    post_redispatch,
)


def _changed(order: Order) -> Response[OrderView]:
    return litestar_response(transition_response(order))


def litestar_response(response: OrderResponse) -> Response[OrderView]:
    return Response(response.view, status_code=response.status, headers=response.headers)
