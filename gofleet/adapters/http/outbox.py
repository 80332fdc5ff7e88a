"""The routes of events that the broker has refused for good, each of which holds back the later ones of its order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody, QueryParameter, SkipValidation

from gofleet.adapters.http.parameters import cursor_after_id, id_of
from gofleet.adapters.http.problems import documented
from gofleet.adapters.http.schemas import Count, Requested
from gofleet.ports import FailedEvent, FailedEvents

FailedPort = NamedDependency[SkipValidation[FailedEvents]]


class FailedEventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is published no more; `held_back` later ones of its order wait behind it."""

    id: int
    event_id: str
    type: str
    order_id: str
    sequence: int
    attempts: int
    error: str | None
    created_at: datetime
    failed_at: datetime
    held_back: int

    @classmethod
    def of(cls, event: FailedEvent) -> FailedEventView:
        view = cls(**vars(event))
        return msgspec.structs.replace(
            view, created_at=view.created_at.astimezone(UTC), failed_at=view.failed_at.astimezone(UTC)
        )


class FailedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some failed events, newest first; `next_cursor` asks for the ones after them, null at the end."""

    items: list[FailedEventView]
    next_cursor: str | None


class Retry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Try them again, if that is exactly as many as expected."""

    expected_count: Count


@get("/failed", summary="List events that the broker refused for good", responses=documented(422, 503))
async def listing(
    *,
    failed_events: FailedPort,
    limit: Annotated[int, QueryParameter(ge=1, le=100)] = 50,
    cursor: FromQuery[str | None] = None,
) -> FailedPage:
    """Events that no relay tries any more, newest first, a page at a time."""
    found = await failed_events.list(id_of(cursor) if cursor else None, limit + 1)
    items = found[:limit]
    after = cursor_after_id(items[-1].id) if len(found) > limit else None
    return FailedPage(items=[FailedEventView.of(event) for event in items], next_cursor=after)


@post(
    "/failed/retry",
    status_code=202,
    summary="Have all failed events tried again",
    responses=documented(400, 408, 409, 413, 415, 422, 503),
)
async def retry(data: JSONBody[Retry], failed_events: FailedPort) -> Requested:
    """The relays try all of them anew, if they are as many as expected: else 409 with the `actual_count`."""
    await failed_events.retry(data.expected_count)
    return Requested(requested=data.expected_count)


OUTBOX_ROUTES = (listing, retry)
