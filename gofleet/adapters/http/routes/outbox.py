"""The routes of events that the broker has refused for good, each of which holds back the later ones of its order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation

from gofleet.adapters.http.fields import Count, NextCursor, OrderId, RowId, Version, described, timestamp
from gofleet.adapters.http.pagination import Cursor, parse_row_cursor, row_cursor
from gofleet.adapters.http.problem_types import ProblemType
from gofleet.adapters.http.problems import BODY_PROBLEMS, NEXT_PAGE, ResponseDoc, problem_responses
from gofleet.adapters.http.schemas.orders import AcceptedCount
from gofleet.adapters.http.validation import Limit
from gofleet.ports import FailedEvent, FailedEvents

FailedPort = NamedDependency[SkipValidation[FailedEvents]]


class FailedEventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is published no more; `held_back` later ones of its order wait behind it."""

    id: RowId
    event_id: Annotated[str, described("The event's own id.", "0198c0de-0000-7000-8000-000000000001", format="uuid")]
    type: Annotated[str, described("What happened.", "orders.created")]
    order_id: OrderId
    sequence: Version
    attempts: Annotated[int, described("How often the broker refused it.", 20, minimum=0)]
    error: Annotated[str | None, described("What it said the last time.", "no queue takes it")]
    created_at: Annotated[datetime, timestamp("When it happened.")]
    failed_at: Annotated[datetime, timestamp("When it was given up.")]
    held_back: Annotated[int, described("Later events of its order, which wait for it.", 2, minimum=0)]

    @classmethod
    def of(cls, event: FailedEvent) -> FailedEventView:
        view = cls(**vars(event))
        return msgspec.structs.replace(
            view, created_at=view.created_at.astimezone(UTC), failed_at=view.failed_at.astimezone(UTC)
        )


class FailedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some failed events, newest first; `next_cursor` asks for the ones after them, null at the end."""

    items: Annotated[list[FailedEventView], described("At most as many as asked for.")]
    next_cursor: NextCursor


class RetryFailedEvents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Try them again, if that is exactly as many as expected."""

    expected_count: Count


ASKED = {202: ResponseDoc(AcceptedCount, description="It will be done.")}
LISTED = {200: ResponseDoc(FailedPage, description="A page of events.", links={"listFailedEvents": NEXT_PAGE})}


@get(
    "/failed",
    operation_id="listFailedEvents",
    summary="List events that the broker refused for good",
    responses=LISTED | problem_responses(ProblemType.INVALID),
)
async def get_failed_events(
    *,
    failed_events: FailedPort,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> FailedPage:
    """Events that no relay tries any more, newest first, a page at a time."""
    found = await failed_events.list(parse_row_cursor(cursor), limit + 1)
    items = found[:limit]
    after = row_cursor(items[-1].id) if len(found) > limit else None
    return FailedPage(items=[FailedEventView.of(event) for event in items], next_cursor=after)


@post(
    "/failed/retry",
    status_code=202,
    operation_id="retryFailedEvents",
    summary="Have all failed events tried again",
    responses=ASKED | problem_responses(*BODY_PROBLEMS, ProblemType.COUNT_MISMATCH),
)
async def post_retry(data: JSONBody[RetryFailedEvents], failed_events: FailedPort) -> AcceptedCount:
    """The relays try all of them anew, if they are as many as expected: else 409 with the `actual_count`."""
    await failed_events.retry(data.expected_count)
    return AcceptedCount(requested=data.expected_count)


OUTBOX_ROUTES = (get_failed_events, post_retry)
