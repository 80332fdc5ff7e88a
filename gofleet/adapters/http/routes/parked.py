"""Routes of parked messages (dead-letter storage): list, group, show, and request a replay.

A replay is only requested here; the relay returns the message to its queue.
"""

from __future__ import annotations

import re
from typing import Annotated

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter, SkipValidation

from gofleet.adapters.http.faults import InvalidParameter
from gofleet.adapters.http.pagination import Cursor, page_of, parse_row_cursor, row_cursor
from gofleet.adapters.http.problem_types import ProblemType
from gofleet.adapters.http.problems import BODY_PROBLEMS, NEXT_PAGE, ResponseDoc, problem_responses
from gofleet.adapters.http.query import AN_ID
from gofleet.adapters.http.schemas.parked import (
    AcceptedCount,
    ParkedDetailView,
    ParkedGroupList,
    ParkedGroupView,
    ParkedPage,
    ParkedView,
    ReplayRequest,
)
from gofleet.adapters.http.validation import Limit, ParkedIdPath, id_filter, parse_identifier, query_filter
from gofleet.domain.parked import Cause, Stage
from gofleet.ports import Parked, ParkedFilter

BODY_BYTES_MAX = 64 * 1024
"""Bytes of a message's body that a response contains at most."""

ParkedPort = NamedDependency[SkipValidation[Parked]]
ByQueue = Annotated[str | None, id_filter("Only messages of this queue.", "orders.created"), AN_ID]
ByFingerprint = Annotated[str | None, id_filter("Only messages with this fingerprint.", "9f86d081884c"), AN_ID]
ByReason = Annotated[Cause | None, query_filter("Only messages parked for this reason.", "no-such-order")]
ByState = Annotated[
    Stage | None,
    QueryParameter(name="state", description="Only messages in this state; by default `waiting` and `requested`."),
]
MESSAGES_LISTED = {
    200: ResponseDoc(ParkedPage, description="A page of messages.", links={"listParkedMessages": NEXT_PAGE})
}
GROUPS_LISTED = {200: ResponseDoc(ParkedGroupList, description="The groups.")}
MESSAGE_SHOWN = {200: ResponseDoc(ParkedDetailView, description="The message.")}
REPLAY_ACCEPTED = {
    202: ResponseDoc(ParkedView, description="The replay is accepted."),
    200: ResponseDoc(ParkedView, description="The message was replayed before and is not replayed again."),
}
REPLAYS_ACCEPTED = {202: ResponseDoc(AcceptedCount, description="The replays are accepted.")}


@get(
    "/",
    operation_id="listParkedMessages",
    summary="List parked messages",
    responses=MESSAGES_LISTED | problem_responses(ProblemType.INVALID),
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
    """Parked messages, newest first; without `state` only the messages that are not replayed."""
    criteria = _filter(queue, fingerprint, reason, stage, before=parse_row_cursor(cursor))
    page, next_cursor = page_of(await parked.list(criteria, limit + 1), limit, row_cursor)
    return ParkedPage(items=[ParkedView.of(message) for message in page], next_cursor=next_cursor)


@get(
    "/groups",
    operation_id="countParkedMessages",
    summary="Count parked messages by failure",
    responses=GROUPS_LISTED | problem_responses(ProblemType.INVALID),
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
    """The number of parked messages for each fingerprint, largest first."""
    groups = await parked.groups(_filter(queue, fingerprint, reason, stage), limit + 1)
    items = [ParkedGroupView.of(group) for group in groups[:limit]]
    return ParkedGroupList(items=items, truncated=len(groups) > limit)


@get(
    "/{parked_id:str}",
    operation_id="showParkedMessage",
    summary="Show a parked message",
    responses=MESSAGE_SHOWN | problem_responses(ProblemType.NO_SUCH_PARKED_MESSAGE, ProblemType.INVALID),
)
async def get_parked_message(parked_id: ParkedIdPath, parked: ParkedPort) -> ParkedDetailView:
    """The message with its headers and the first 64 KiB of its body."""
    return ParkedDetailView.with_content(*await parked.open(_parse_id(parked_id), BODY_BYTES_MAX))


@post(
    "/{parked_id:str}/replay",
    status_code=202,
    operation_id="replayParkedMessage",
    summary="Replay a parked message",
    responses=REPLAY_ACCEPTED
    | problem_responses(ProblemType.NO_SUCH_PARKED_MESSAGE, ProblemType.NOT_REPLAYABLE, ProblemType.INVALID),
)
async def post_replay(parked_id: ParkedIdPath, parked: ParkedPort) -> Response[ParkedView]:
    """Return the message to its queue. Repeated requests replay it once."""
    message = await parked.request(_parse_id(parked_id))
    return Response(ParkedView.of(message), status_code=200 if message.stage is Stage.REPLAYED else 202)


@post(
    "/replay",
    status_code=202,
    operation_id="replayParkedMessages",
    summary="Replay many parked messages",
    responses=REPLAYS_ACCEPTED
    | problem_responses(*BODY_PROBLEMS, ProblemType.NOT_REPLAYABLE, ProblemType.COUNT_MISMATCH),
)
async def post_replays(data: JSONBody[ReplayRequest], parked: ParkedPort) -> AcceptedCount:
    """Return all matching messages that wait to their queues if their number is `expected_count`, else 409 with the
    `actual_count`."""
    await parked.request_all(data.criteria(), data.expected_count)
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


def _parse_id(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,17}", text):  # at most 64 bits
        raise InvalidParameter("parked_id", "must be a whole number")
    return int(text)
