"""What was done with orders: the timeline of one, and the stream of all."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, SkipValidation

from gofleet.adapters.http.auth import CallerDependency
from gofleet.adapters.http.fields import ID
from gofleet.adapters.http.pagination import RESUME_TOKEN, parse_resume_token
from gofleet.adapters.http.problem_types import ProblemType
from gofleet.adapters.http.problems import ResponseDoc, problem_responses
from gofleet.adapters.http.routes.orders import get_owned_order
from gofleet.adapters.http.schemas.events import EventView, Timeline
from gofleet.adapters.http.sse import MEDIA_TYPE, EventStreams, StreamingResponse
from gofleet.adapters.http.validation import (
    InvalidParameter,
    OrderIdPath,
    StreamBbox,
    parse_bbox,
    parse_identifier,
    query_filter,
)
from gofleet.domain.errors import UnknownCursor
from gofleet.domain.history import ChangeKind, HistoryCursor, HistoryFilter
from gofleet.ports import History, Orders

EVENTS_MAX = 1000
"""Of one order; who redispatches it more often sees the first of them."""
TOLD = {
    200: ResponseDoc(
        Timeline, description="All moves.", links={"showOrder": {"order_id": "$response.body#/items/0/order_id"}}
    )
}
STREAMED = {
    200: ResponseDoc(
        EventView,
        media_type=MEDIA_TYPE,
        description="Server-sent events without end. `event:` is the type, `data:` such an object, `id:` where to go"
        " on; with `bbox` also `driver.moved`, whose data are `driver_id`, `lat`, `lng`, `recorded_at` and `free`,"
        " without an `id:`. Comments in between keep the connection alive.",
    )
}


@get(
    "/{order_id:str}/events",
    operation_id="showTimeline",
    summary="Show what became of an order",
    responses=TOLD | problem_responses(ProblemType.NO_SUCH_ORDER, ProblemType.INVALID),
)
async def get_order_events(
    order_id: OrderIdPath,
    caller: CallerDependency,
    orders: NamedDependency[SkipValidation[Orders]],
    history: NamedDependency[SkipValidation[History]],
) -> Timeline:
    """Every move of the order, oldest first: what was done, when, by whom, and why."""
    order_id = parse_identifier("order_id", order_id)
    if caller.owner is not None:
        await get_owned_order(orders, order_id, caller)
    entries = await history.of(order_id, EVENTS_MAX)
    return Timeline(items=[EventView.of(entry, caller) for entry in entries])


@get(
    "/stream",
    operation_id="followOrders",
    summary="Follow orders while they move",
    responses=STREAMED | problem_responses(ProblemType.INVALID, ProblemType.TOO_MANY_STREAMS),
)
async def get_order_stream(
    *,
    caller: CallerDependency,
    history: NamedDependency[SkipValidation[History]],
    streams: NamedDependency[SkipValidation[EventStreams]],
    order_id: Annotated[str | None, query_filter("Only the moves of this order.", "order-1", **ID)] = None,
    type: Annotated[
        list[ChangeKind] | None, query_filter("Only such moves; may be repeated.", ["orders.delivered"])
    ] = None,
    bbox: StreamBbox = None,
    last_event_id: Annotated[str | None, query_filter("As the header of that name.", "QDEuMg", **RESUME_TOKEN)] = None,
    last_event_id_header: Annotated[
        str | None,
        HeaderParameter(
            name="Last-Event-ID",
            description="The last `id:` that was seen: go on behind it.",
            schema_extra=RESUME_TOKEN,
        ),
    ] = None,
) -> StreamingResponse:
    """Each move, of all orders or of one, as it is committed, none twice. A client whose stream was cut sends the last
    `id:` it has seen as `Last-Event-ID`, as browsers do by themselves, and misses nothing; without, the stream begins
    now.
    """
    which = HistoryFilter(order_id and parse_identifier("order_id", order_id), frozenset(type or ()), caller.owner)
    box = None if bbox is None else parse_bbox(bbox)
    if box is not None:
        caller.check_full_access("a map of drivers")
    moment = await _beginning(history, last_event_id_header or last_event_id)
    return streams.response(moment, which, box, caller)


EVENT_ROUTES = (get_order_events, get_order_stream)


async def _beginning(history: History, token: str | None) -> HistoryCursor:
    if not token:  # what a browser sends before it has seen an id
        return await history.now()
    moment = parse_resume_token(token)
    try:
        await history.after(moment, HistoryFilter(), 1)
    except UnknownCursor as error:
        raise InvalidParameter("last_event_id", "is of another history, or of one that lost its end since") from error
    return moment
