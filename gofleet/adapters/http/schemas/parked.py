"""Parked messages as they go in and out over REST."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec

from gofleet.adapters.http.fields import ID, Count, Fingerprint, NextCursor, RowId, described, timestamp
from gofleet.domain.messages import Delivery
from gofleet.domain.parked import Cause, ParkedGroup, ParkedMessage, Stage
from gofleet.domain.values import identifier
from gofleet.ports import ParkedFilter


class ParkedView(msgspec.Struct, frozen=True, kw_only=True):
    """A parked message without its content."""

    id: RowId
    queue: Annotated[str, described("Where it was given up.", "orders.created")]
    state: Annotated[Stage, described("Whether a replay is asked for, or done.", "waiting")]
    reason: Annotated[Cause, described("Why it was given up.", "no-such-order")]
    detail: Annotated[str, described("What the error said.", "there is no order pedido-teste-01")]
    fingerprint: Fingerprint
    event_id: Annotated[str | None, described("The id that it named.", "0198c0de-0000-7000-8000-000000000001")]
    order_id: Annotated[str | None, described("The order that it named.", "pedido-teste-01")]
    attempts: Annotated[int, described("Counted tries before it was given up.", 6, minimum=0)]
    body_bytes: Annotated[int, described("Length of its body.", 214, minimum=0)]
    parked_at: Annotated[datetime, timestamp("When it was given up.")]
    replay_requested_at: Annotated[datetime | None, timestamp("When a replay was last asked for.", None)]
    replayed_at: Annotated[datetime | None, timestamp("When it went back into its queue.", None)]
    replay_count: Annotated[int, described("How often it went back.", 0, minimum=0)]
    error: Annotated[str | None, described("Why the broker refused the last replay.", None)]


class ParkedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some parked messages, newest first; `next_cursor` asks for the ones after them, null at the end."""

    items: Annotated[list[ParkedView], described("At most as many as asked for.")]
    next_cursor: NextCursor


class ParkedDetailView(ParkedView, frozen=True, kw_only=True):
    """A parked message with its headers and the beginning of its body, in base64 if that is not UTF-8."""

    headers: Annotated[dict[str, str], described("As they arrived.", {"x-event-type": "orders.created"})]
    body: Annotated[str, described("Its first 64 KiB.", '{"type":"orders.created"}')]
    body_encoding: Annotated[Literal["utf-8", "base64"], described("How `body` shows it.", "utf-8")]
    body_truncated: Annotated[bool, described("Whether there is more of it.")]


class ParkedGroupView(msgspec.Struct, frozen=True, kw_only=True):
    """All failures of one sort, `detail` as the newest says it; `waiting` is what a replay of them has to expect."""

    fingerprint: Fingerprint
    queue: Annotated[str, described("Where they were given up.", "orders.created")]
    reason: Annotated[Cause, described("Why they were given up.", "no-such-order")]
    detail: Annotated[str, described("What the newest error said.", "there is no order pedido-teste-01")]
    count: Annotated[int, described("All of them.", 3, minimum=0)]
    waiting: Annotated[int, described("Those that a replay has to expect.", 3, minimum=0)]
    first_at: Annotated[datetime, timestamp("When the first was given up.")]
    last_at: Annotated[datetime, timestamp("When the newest was given up.")]


class ParkedGroupList(msgspec.Struct, frozen=True, kw_only=True):
    """The largest groups first."""

    items: Annotated[list[ParkedGroupView], described("At most as many as asked for.")]


class ParkedSelector(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Those that have all of these; without any, all."""

    queue: Annotated[str | None, described("Those of this queue.", "orders.created", **ID)] = None
    fingerprint: Annotated[str | None, described("Failures of this sort.", "9f86d081884c", **ID)] = None
    reason: Annotated[Cause | None, described("Those given up for this.")] = None

    def filter(self) -> ParkedFilter:
        """`Invalid` names the field of the body."""
        return ParkedFilter(
            queue=None if self.queue is None else identifier("filter.queue", self.queue),
            fingerprint=None if self.fingerprint is None else identifier("filter.fingerprint", self.fingerprint),
            cause=self.reason,
        )


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Replay what is chosen and waits, if that is exactly as many as expected."""

    filter: Annotated[ParkedSelector, described("Which ones.")]
    expected_count: Count


def view_of(message: ParkedMessage) -> ParkedView:
    return ParkedView(**_fields(message))


def opened_view_of(message: ParkedMessage, content: Delivery) -> ParkedDetailView:
    """`content` has the beginning of the body, or all of it."""
    truncated = len(content.body) < message.body_bytes
    encoding, body = _shown(content.body, truncated=truncated)
    return ParkedDetailView(
        **_fields(message),
        headers=dict(content.headers),
        body=body,
        body_encoding=encoding,
        body_truncated=truncated,
    )


def group_view_of(group: ParkedGroup) -> ParkedGroupView:
    return ParkedGroupView(
        fingerprint=group.fingerprint,
        queue=group.queue,
        reason=group.cause,
        detail=group.detail,
        count=group.count,
        waiting=group.waiting,
        first_at=group.first_at.astimezone(UTC),
        last_at=group.last_at.astimezone(UTC),
    )


def _fields(message: ParkedMessage) -> dict[str, Any]:
    values = dict(vars(message))
    values["state"], values["reason"] = values.pop("stage"), values.pop("cause")
    return {name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in values.items()}


def _shown(body: bytes, *, truncated: bool) -> tuple[Literal["utf-8", "base64"], str]:
    try:
        return "utf-8", body.decode()
    except UnicodeDecodeError as error:
        if truncated and error.reason == "unexpected end of data":
            return "utf-8", body[: error.start].decode()  # the cut went through a character
        return "base64", b64encode(body).decode()
