"""The routes of parked messages. A replay is only asked for here: the relay puts the message back into its queue."""

from __future__ import annotations

import re
from typing import Annotated

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter, SkipValidation

from gofleet.adapters.http.fields import ID
from gofleet.adapters.http.pagination import Cursor, parse_row_cursor, row_cursor
from gofleet.adapters.http.problem_types import ProblemType
from gofleet.adapters.http.problems import BODY_PROBLEMS, NEXT_PAGE, ResponseDoc, problem_responses
from gofleet.adapters.http.schemas.orders import AcceptedCount
from gofleet.adapters.http.schemas.parked import (
    ParkedDetailView,
    ParkedGroupList,
    ParkedPage,
    ParkedView,
    ReplayRequest,
    group_view_of,
    opened_view_of,
    view_of,
)
from gofleet.adapters.http.validation import (
    InvalidParameter,
    Limit,
    ParkedIdPath,
    parse_identifier,
    query_filter,
)
from gofleet.domain.parked import Cause, Stage
from gofleet.ports import Parked, ParkedFilter

BODY_BYTES_MAX = 64 * 1024
"""So much of a body is shown."""

ParkedPort = NamedDependency[SkipValidation[Parked]]
ByQueue = Annotated[str | None, query_filter("Only those of this queue.", "orders.created", **ID)]
ByFingerprint = Annotated[str | None, query_filter("Only failures of this sort.", "9f86d081884c", **ID)]
ByReason = Annotated[Cause | None, query_filter("Only those given up for this.", "no-such-order")]
ByState = Annotated[
    Stage | None, QueryParameter(name="state", description="Only those in it; without: waiting and requested ones.")
]
LISTED = {
    200: ResponseDoc(
        ParkedPage,
        description="A page of messages.",
        links={"listParkedMessages": NEXT_PAGE},
    )
}
COUNTED = {200: ResponseDoc(ParkedGroupList, description="The groups.")}
SHOWN = {200: ResponseDoc(ParkedDetailView, description="The message.")}
REPLAYED = {
    202: ResponseDoc(ParkedView, description="It will be put back."),
    200: ResponseDoc(ParkedView, description="It was replayed before, and is not again."),
}
ASKED = {202: ResponseDoc(AcceptedCount, description="They will be put back.")}


@get(
    "/",
    operation_id="listParkedMessages",
    summary="List parked messages",
    responses=LISTED | problem_responses(ProblemType.INVALID),
)
async def get_parked_messages(
    *,
    parked: ParkedPort,
    queue: ByQueue = None,
    fingerprint: ByFingerprint = None,
    reason: ByReason = None,
    stage: ByState = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ParkedPage:
    """Messages that were given up, newest first, a page at a time; without a `state` those that are still here."""
    which = _filter(queue, fingerprint, reason, stage, before=parse_row_cursor(cursor))
    found = await parked.list(which, limit + 1)
    items = found[:limit]
    after = row_cursor(items[-1].id) if len(found) > limit else None
    return ParkedPage(items=[view_of(message) for message in items], next_cursor=after)


@get(
    "/groups",
    operation_id="countParkedMessages",
    summary="Count parked messages by what went wrong",
    responses=COUNTED | problem_responses(ProblemType.INVALID),
)
async def get_parked_groups(
    *,
    parked: ParkedPort,
    queue: ByQueue = None,
    fingerprint: ByFingerprint = None,
    reason: ByReason = None,
    stage: ByState = None,
    limit: Limit = 50,
) -> ParkedGroupList:
    """One line for each sort of failure, the most frequent first."""
    found = await parked.groups(_filter(queue, fingerprint, reason, stage), limit)
    return ParkedGroupList(items=[group_view_of(group) for group in found])


@get(
    "/{parked_id:str}",
    operation_id="showParkedMessage",
    summary="Show a parked message",
    responses=SHOWN | problem_responses(ProblemType.NO_SUCH_PARKED_MESSAGE, ProblemType.INVALID),
)
async def get_parked_message(parked_id: ParkedIdPath, parked: ParkedPort) -> ParkedDetailView:
    """The message with its headers and the first 64 KiB of its body."""
    return opened_view_of(*await parked.open(_number(parked_id), BODY_BYTES_MAX))


@post(
    "/{parked_id:str}/replay",
    status_code=202,
    operation_id="replayParkedMessage",
    summary="Replay a parked message",
    responses=REPLAYED
    | problem_responses(ProblemType.NO_SUCH_PARKED_MESSAGE, ProblemType.NOT_REPLAYABLE, ProblemType.INVALID),
)
async def post_replay(parked_id: ParkedIdPath, parked: ParkedPort) -> Response[ParkedView]:
    """Have it put back into the queue that it came from, once, however often that is asked for."""
    message = await parked.request(_number(parked_id))
    return Response(view_of(message), status_code=200 if message.stage is Stage.REPLAYED else 202)


@post(
    "/replay",
    status_code=202,
    operation_id="replayParkedMessages",
    summary="Replay many parked messages",
    responses=ASKED | problem_responses(*BODY_PROBLEMS, ProblemType.NOT_REPLAYABLE, ProblemType.COUNT_MISMATCH),
)
async def post_replays(data: JSONBody[ReplayRequest], parked: ParkedPort) -> AcceptedCount:
    """Have all that match and wait put back, if they are as many as expected: else 409 with the `actual_count`."""
    await parked.request_all(data.filter.filter(), data.expected_count)
    return AcceptedCount(requested=data.expected_count)


PARKED_ROUTES = (get_parked_messages, get_parked_groups, get_parked_message, post_replay, post_replays)


def _filter(
    queue: str | None, fingerprint: str | None, reason: Cause | None, stage: Stage | None, before: int | None = None
) -> ParkedFilter:
    return ParkedFilter(
        queue=None if queue is None else parse_identifier("queue", queue),
        fingerprint=None if fingerprint is None else parse_identifier("fingerprint", fingerprint),
        cause=reason,
        stage=stage,
        before=before,
    )


def _number(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,17}", text):  # what fits into 64 bits
        raise InvalidParameter("parked_id", "must be a whole number")
    return int(text)
