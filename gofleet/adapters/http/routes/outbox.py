"""Routes of failed outbox events: the broker rejected them too often, and each holds back the later ones of its
order."""

from __future__ import annotations

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation

from gofleet.adapters.http.pagination import Cursor, page_of, parse_row_cursor, row_cursor
from gofleet.adapters.http.problem_types import ProblemType
from gofleet.adapters.http.problems import BODY_PROBLEMS, NEXT_PAGE, ResponseDoc, problem_responses
from gofleet.adapters.http.schemas.events import FailedEventPage, FailedEventView, RetryFailedEvents
from gofleet.adapters.http.schemas.parked import AcceptedCount
from gofleet.adapters.http.validation import Limit
from gofleet.ports import FailedEvents

FailedEventsPort = NamedDependency[SkipValidation[FailedEvents]]

FAILED_EVENTS_LISTED = {
    200: ResponseDoc(FailedEventPage, description="A page of failed events.", links={"listFailedEvents": NEXT_PAGE})
}
RETRY_ACCEPTED = {202: ResponseDoc(AcceptedCount, description="The retry is accepted.")}


@get(
    "/failed",
    operation_id="listFailedEvents",
    summary="List failed outbox events",
    responses=FAILED_EVENTS_LISTED | problem_responses(ProblemType.INVALID),
)
async def get_failed_events(
    *, failed_events: FailedEventsPort, limit: Limit = 50, cursor: Cursor = None
) -> FailedEventPage:
    """Events that the relays no longer publish, newest first."""
    rows = await failed_events.list(parse_row_cursor(cursor), limit + 1)
    page, next_cursor = page_of(rows, limit, row_cursor)
    return FailedEventPage(items=[FailedEventView.of(event) for event in page], next_cursor=next_cursor)


@post(
    "/failed/retry",
    status_code=202,
    operation_id="retryFailedEvents",
    summary="Retry all failed outbox events",
    responses=RETRY_ACCEPTED | problem_responses(*BODY_PROBLEMS, ProblemType.COUNT_MISMATCH),
)
async def post_retry(data: JSONBody[RetryFailedEvents], failed_events: FailedEventsPort) -> AcceptedCount:
    """The relays publish all failed events anew if their number is `expected_count`, else 409 with the
    `actual_count`."""
    await failed_events.retry(data.expected_count)
    return AcceptedCount(requested=data.expected_count)


OUTBOX_ROUTES = (get_failed_events, post_retry)
