"""The routes of parked messages. A replay is only asked for here: the relay puts the message back into its queue."""

from __future__ import annotations

import re
from typing import Annotated

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, SkipValidation

from gofleet.adapters.http.parameters import BadParameter, cursor_after_id, id_of, parameter_id
from gofleet.adapters.http.parked_schemas import (
    Groups,
    ManyReplays,
    OpenedView,
    ParkedPage,
    ParkedView,
    group_view_of,
    opened_view_of,
    view_of,
)
from gofleet.adapters.http.problems import documented
from gofleet.adapters.http.schemas import Requested
from gofleet.domain.parked import Cause, Stage
from gofleet.ports import Parked, ParkedFilter

MOST_BODY_BYTES = 64 * 1024
"""So much of a body is shown."""

ParkedPort = NamedDependency[SkipValidation[Parked]]
ByState = Annotated[Stage | None, QueryParameter(name="state", description="without: waiting and requested ones")]
Limit = Annotated[int, QueryParameter(ge=1, le=100)]
REPLAYED = {200: ResponseSpec(ParkedView, description="It was replayed before, and is not again")}


@get("/", summary="List parked messages", responses=documented(422, 503))
async def listing(
    *,
    parked: ParkedPort,
    queue: FromQuery[str | None] = None,
    fingerprint: FromQuery[str | None] = None,
    reason: FromQuery[Cause | None] = None,
    stage: ByState = None,
    limit: Limit = 50,
    cursor: FromQuery[str | None] = None,
) -> ParkedPage:
    """Messages that were given up, newest first, a page at a time; without a `state` those that are still here."""
    which = _filter(queue, fingerprint, reason, stage, before=id_of(cursor) if cursor else None)
    found = await parked.list(which, limit + 1)
    items = found[:limit]
    after = cursor_after_id(items[-1].id) if len(found) > limit else None
    return ParkedPage(items=[view_of(message) for message in items], next_cursor=after)


@get("/groups", summary="Count parked messages by what went wrong", responses=documented(422, 503))
async def groups(
    *,
    parked: ParkedPort,
    queue: FromQuery[str | None] = None,
    fingerprint: FromQuery[str | None] = None,
    reason: FromQuery[Cause | None] = None,
    stage: ByState = None,
    limit: Limit = 50,
) -> Groups:
    """One line for each sort of failure, the most frequent first."""
    found = await parked.groups(_filter(queue, fingerprint, reason, stage), limit)
    return Groups(items=[group_view_of(group) for group in found])


@get("/{parked_id:str}", summary="Show a parked message", responses=documented(404, 422, 503))
async def show(parked_id: FromPath[str], parked: ParkedPort) -> OpenedView:
    """The message with its headers and the first 64 KiB of its body."""
    return opened_view_of(*await parked.open(_number(parked_id), MOST_BODY_BYTES))


@post(
    "/{parked_id:str}/replay",
    status_code=202,
    summary="Replay a parked message",
    responses=REPLAYED | documented(404, 409, 422, 503),
)
async def replay(parked_id: FromPath[str], parked: ParkedPort) -> Response[ParkedView]:
    """Have it put back into the queue that it came from, once, however often that is asked for."""
    message = await parked.request(_number(parked_id))
    return Response(view_of(message), status_code=200 if message.stage is Stage.REPLAYED else 202)


@post(
    "/replay",
    status_code=202,
    summary="Replay many parked messages",
    responses=documented(400, 408, 409, 413, 415, 422, 503),
)
async def replay_many(data: JSONBody[ManyReplays], parked: ParkedPort) -> Requested:
    """Have all that match and wait put back, if they are as many as expected: else 409 with the `actual_count`."""
    await parked.request_all(data.filter.filter(), data.expected_count)
    return Requested(requested=data.expected_count)


PARKED_ROUTES = (listing, groups, show, replay, replay_many)


def _filter(
    queue: str | None, fingerprint: str | None, reason: Cause | None, stage: Stage | None, before: int | None = None
) -> ParkedFilter:
    return ParkedFilter(
        queue=None if queue is None else parameter_id("queue", queue),
        fingerprint=None if fingerprint is None else parameter_id("fingerprint", fingerprint),
        cause=reason,
        stage=stage,
        before=before,
    )


def _number(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,17}", text):  # what fits into 64 bits
        raise BadParameter("parked_id", "must be a whole number")
    return int(text)
