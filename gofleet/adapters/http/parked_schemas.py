"""Parked messages as they go in and out over REST."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from gofleet.adapters.http.schemas import Count
from gofleet.domain.ids import identifier
from gofleet.domain.messages import Delivery
from gofleet.domain.parked import Cause, ParkedGroup, ParkedMessage, Stage
from gofleet.ports import ParkedFilter


class ParkedView(msgspec.Struct, frozen=True, kw_only=True):
    """A parked message without its content. `reason` is a slug, `detail` what the error said; `fingerprint` is the
    same for failures of the same sort; `error` is why the broker refused the last replay."""

    id: int
    queue: str
    state: Stage
    reason: Cause
    detail: str
    fingerprint: str
    event_id: str | None
    order_id: str | None
    attempts: int
    body_bytes: int
    parked_at: datetime
    replay_requested_at: datetime | None
    replayed_at: datetime | None
    replay_count: int
    error: str | None


class ParkedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some parked messages, newest first; `next_cursor` asks for the ones after them, null at the end."""

    items: list[ParkedView]
    next_cursor: str | None


class OpenedView(ParkedView, frozen=True, kw_only=True):
    """A parked message with its headers and the beginning of its body, in base64 if that is not UTF-8."""

    headers: dict[str, str]
    body: str
    body_encoding: Literal["utf-8", "base64"]
    body_truncated: bool


class GroupView(msgspec.Struct, frozen=True, kw_only=True):
    """All failures of one sort, `detail` as the newest says it; `waiting` is what a replay of them has to expect."""

    fingerprint: str
    queue: str
    reason: Cause
    detail: str
    count: int
    waiting: int
    first_at: datetime
    last_at: datetime


class Groups(msgspec.Struct, frozen=True, kw_only=True):
    """The largest groups first."""

    items: list[GroupView]


class Chosen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Those that have all of these; without any, all."""

    queue: str | None = None
    fingerprint: str | None = None
    reason: Cause | None = None

    def filter(self) -> ParkedFilter:
        """`Invalid` names the field of the body."""
        return ParkedFilter(
            queue=None if self.queue is None else identifier("filter.queue", self.queue),
            fingerprint=None if self.fingerprint is None else identifier("filter.fingerprint", self.fingerprint),
            cause=self.reason,
        )


class ManyReplays(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Replay what is chosen and waits, if that is exactly as many as expected."""

    filter: Chosen
    expected_count: Count


def view_of(message: ParkedMessage) -> ParkedView:
    return ParkedView(**_fields(message))


def opened_view_of(message: ParkedMessage, content: Delivery) -> OpenedView:
    """`content` has the beginning of the body, or all of it."""
    truncated = len(content.body) < message.body_bytes
    encoding, body = _shown(content.body, truncated=truncated)
    return OpenedView(
        **_fields(message),
        headers=dict(content.headers),
        body=body,
        body_encoding=encoding,
        body_truncated=truncated,
    )


def group_view_of(group: ParkedGroup) -> GroupView:
    return GroupView(
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
