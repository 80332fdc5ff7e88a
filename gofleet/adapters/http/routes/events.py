"""Routes of order events: the history of one order and the stream of all orders."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, SkipValidation

from gofleet.adapters.http.auth import CallerDependency
from gofleet.adapters.http.pagination import RESUME_TOKEN, parse_resume_token
from gofleet.adapters.http.problem_types import ProblemType
from gofleet.adapters.http.problems import ResponseDoc, problem_responses
from gofleet.adapters.http.query import AN_ID
from gofleet.adapters.http.routes.orders import OrdersPort
from gofleet.adapters.http.schemas.events import EventView, Timeline
from gofleet.adapters.http.sse import MEDIA_TYPE, EventStreams, StreamingResponse
from gofleet.adapters.http.validation import (
    OrderIdPath,
    StreamBbox,
    id_filter,
    parse_bbox,
    parse_identifier,
    query_filter,
)
from gofleet.domain.errors import UnknownCursor
from gofleet.domain.history import ChangeKind, HistoryCursor, HistoryFilter
from gofleet.domain.order import order_ids
from gofleet.ports import History

EVENTS_MAX = 1000
"""Transitions of one order that a response contains at most: the first ones."""

HistoryPort = NamedDependency[SkipValidation[History]]

TIMELINE_SHOWN = {
    200: ResponseDoc(
        Timeline,
        description="All transitions, or the first 1000.",
        links={"showOrder": {"order_id": "$response.body#/items/0/order_id"}},
    )
}
STREAM_OPENED = {
    200: ResponseDoc(
        EventView,
        media_type=MEDIA_TYPE,
        description="Server-sent events without end. `event:` is the event type, `data:` an object with this schema,"
        " `id:` the point from which to resume. With `bbox` also events without `id:`. `driver.moved`, whose data are"
        " `driver_id`, `lat`, `lng`, `recorded_at`, `free` and `state`, shows a driver at first and after each change;"
        " a silent driver stays at its last position. `driver.gone`, with `driver_id`, says that the driver has left"
        " the box, or that its position has expired. `drivers.truncated`, with `truncated`, says whether the box has"
        " more drivers than the stream follows, which are those nearest to its centre. A first event `reset`, with an"
        " empty object, says that `Last-Event-ID` is unknown and events may have been missed. Comments keep the"
        " connection alive. The stream ends with the token of the request; resume it with the next token.",
    )
}


@get(
    "/{order_id:str}/events",
    operation_id="showTimeline",
    summary="Show the history of an order",
    responses=TIMELINE_SHOWN | problem_responses(ProblemType.NO_SUCH_ORDER, ProblemType.INVALID),
)
async def get_order_events(
    order_id: OrderIdPath, caller: CallerDependency, orders: OrdersPort, history: HistoryPort
) -> Timeline:
    """Every transition of the order, oldest first: the event, its time, its actor and its reason."""
    order_id = parse_identifier("order_id", order_id)
    if caller.owner is not None:
        order_id = (await orders.get(order_id, caller.owner)).id
    entries = await history.of(order_id, EVENTS_MAX + 1)
    items = [EventView.of(caller.displayed(entry)) for entry in entries[:EVENTS_MAX]]
    return Timeline(items=items, truncated=len(entries) > EVENTS_MAX)


@get(
    "/stream",
    operation_id="followOrders",
    summary="Stream the events of orders",
    responses=STREAM_OPENED | problem_responses(ProblemType.INVALID, ProblemType.TOO_MANY_STREAMS),
)
async def get_order_stream(
    *,
    caller: CallerDependency,
    history: HistoryPort,
    streams: NamedDependency[SkipValidation[EventStreams]],
    order_id: Annotated[str | None, id_filter("Only events of this order.", "order-1"), AN_ID] = None,
    type: Annotated[
        list[ChangeKind] | None, query_filter("Only events of this type; may be repeated.", ["orders.delivered"])
    ] = None,
    bbox: StreamBbox = None,
    last_event_id: Annotated[
        str | None, query_filter("Same as the header `Last-Event-ID`.", "QDEuMg", **RESUME_TOKEN)
    ] = None,
    last_event_id_header: Annotated[
        str | None,
        HeaderParameter(
            name="Last-Event-ID",
            description="Last `id:` that the client received: resume after it.",
            schema_extra=RESUME_TOKEN,
        ),
    ] = None,
) -> StreamingResponse:
    """Each transition of all orders, or of one order, once it is committed and exactly once. A client that reconnects
    sends the last `id:` that it received as `Last-Event-ID`, as browsers do by themselves, and misses no event. Without
    it the stream starts now, and so it does after an unknown one, with a first event `reset`: read the orders again.
    """
    name = None if order_id is None else parse_identifier("order_id", order_id)
    ids = frozenset[str]() if name is None else frozenset(order_ids(name, caller.owner))
    criteria = HistoryFilter(ids, frozenset(type or ()), caller.owner)
    box = None if bbox is None else parse_bbox(bbox)
    if box is not None:
        caller.check_full_access("a map of drivers")
    cursor, known = await _start(history, last_event_id_header or last_event_id)
    return streams.response(cursor, criteria, box, caller, reset=not known)


EVENT_ROUTES = (get_order_events, get_order_stream)


async def _start(history: History, token: str | None) -> tuple[HistoryCursor, bool]:
    """Where the stream starts, and whether `token` is known: it may be of another database, or of one that lost its end
    since. An error would end the reconnecting of browsers for good."""
    if not token:  # browsers send an empty header before the first `id:`
        return await history.now(), True
    if (cursor := parse_resume_token(token)) is not None:
        with suppress(UnknownCursor):
            await history.after(cursor, HistoryFilter(), 1)
            return cursor, True
    return await history.now(), False
