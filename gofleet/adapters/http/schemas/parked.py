"""Parked messages (dead-letter storage) in requests and responses."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from itertools import islice
from typing import Annotated, Literal

import msgspec

from gofleet.adapters.http.faults import with_all_faults
from gofleet.adapters.http.fields import ID, Count, Fingerprint, IdText, NextCursor, RowId, described, timestamp
from gofleet.domain.errors import Invalid
from gofleet.domain.messages import Delivery
from gofleet.domain.parked import Cause, ParkedGroup, ParkedMessage, Stage
from gofleet.domain.values import identifier
from gofleet.ports import ParkedFilter

HEADERS_MAX, HEADER_CHARS_MAX = 100, 1024


class ParkedView(msgspec.Struct, frozen=True, kw_only=True):
    """A parked message without its content."""

    id: RowId
    queue: Annotated[str, described("Queue of the message.", "orders.created")]
    stage: Annotated[Stage, described("Whether a replay is requested or done.", "waiting")] = msgspec.field(
        name="state"
    )
    cause: Annotated[Cause, described("Reason for parking the message.", "no-such-order")] = msgspec.field(
        name="reason"
    )
    detail: Annotated[str, described("Error message.", "there is no order pedido-teste-01")]
    fingerprint: Fingerprint
    event_id: Annotated[str | None, described("Event id in the message.", "0198c0de-0000-7000-8000-000000000001")]
    order_id: Annotated[str | None, described("Order id in the message.", "pedido-teste-01")]
    attempts: Annotated[int, described("Number of attempts before parking.", 6, minimum=0)]
    body_bytes: Annotated[int, described("Length of the body in bytes.", 214, minimum=0)]
    parked_at: Annotated[datetime, timestamp("Time of parking.")]
    replay_requested_at: Annotated[datetime | None, timestamp("Time of the last replay request.", None)]
    replayed_at: Annotated[datetime | None, timestamp("Time of the return to its queue.", None)]
    replay_count: Annotated[int, described("Number of replays.", 0, minimum=0)]
    error: Annotated[str | None, described("Error of the broker at the last replay.", None)]

    @classmethod
    def of(cls, message: ParkedMessage) -> ParkedView:
        return msgspec.convert(message, ParkedView, from_attributes=True)


class ParkedPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of parked messages, newest first."""

    items: Annotated[list[ParkedView], described("Messages of this page, at most `limit`.")]
    next_cursor: NextCursor


class ParkedDetailView(ParkedView, frozen=True, kw_only=True):
    """A parked message with its headers and the beginning of its body, in base64 if the body is not UTF-8."""

    headers: Annotated[
        dict[str, str],
        described("The first 100 headers, up to 1024 characters of each.", {"x-event-type": "orders.created"}),
    ]
    headers_truncated: Annotated[bool, described("Whether `headers` lacks any of it.", False)]
    body: Annotated[str, described("First 64 KiB of the body.", '{"type":"orders.created"}')]
    body_encoding: Annotated[Literal["utf-8", "base64"], described("Encoding of `body`.", "utf-8")]
    body_truncated: Annotated[bool, described("Whether the body is longer than `body`.")]

    @classmethod
    def with_content(cls, message: ParkedMessage, content: Delivery) -> ParkedDetailView:
        """`content` has the beginning of the body, or all of it."""
        truncated = len(content.body) < message.body_bytes
        encoding, body = _encode_body(content.body, truncated=truncated)
        return cls(
            **msgspec.structs.asdict(ParkedView.of(message)),
            headers={
                name[:HEADER_CHARS_MAX]: value[:HEADER_CHARS_MAX]
                for name, value in islice(content.headers.items(), HEADERS_MAX)
            },
            headers_truncated=len(content.headers) > HEADERS_MAX
            or any(len(value) > HEADER_CHARS_MAX for value in content.headers.values()),
            body=body,
            body_encoding=encoding,
            body_truncated=truncated,
        )


class ParkedGroupView(msgspec.Struct, frozen=True, kw_only=True):
    """Parked messages with the same fingerprint; `detail` is the newest error message."""

    fingerprint: Fingerprint
    queue: Annotated[str, described("Queue of the messages.", "orders.created")]
    cause: Annotated[Cause, described("Reason for parking the messages.", "no-such-order")] = msgspec.field(
        name="reason"
    )
    detail: Annotated[str, described("Newest error message.", "there is no order pedido-teste-01")]
    count: Annotated[int, described("Number of messages.", 3, minimum=0)]
    waiting: Annotated[int, described("Number of messages that a replay would include.", 3, minimum=0)]
    first_at: Annotated[datetime, timestamp("Time at which the first was parked.")]
    last_at: Annotated[datetime, timestamp("Time at which the newest was parked.")]

    @classmethod
    def of(cls, group: ParkedGroup) -> ParkedGroupView:
        return msgspec.convert(group, cls, from_attributes=True)


class ParkedGroupList(msgspec.Struct, frozen=True, kw_only=True):
    """Groups of parked messages, largest first."""

    items: Annotated[list[ParkedGroupView], described("Groups, at most `limit`.")]
    truncated: Annotated[bool, described("Whether there are more groups.", False)]


class ParkedSelector(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Conditions that all must hold; an empty selector selects every parked message."""

    queue: Annotated[IdText | None, described("Queue of the messages.", "orders.created", **ID)] = None
    fingerprint: Annotated[IdText | None, described("Fingerprint of the failure.", "9f86d081884c", **ID)] = None
    reason: Annotated[Cause | None, described("Reason for parking.")] = None

    def filter(self) -> ParkedFilter:
        """Raises `Invalid`, which names the field of the body."""
        return ParkedFilter(
            queue=None if self.queue is None else identifier("filter.queue", self.queue),
            fingerprint=None if self.fingerprint is None else identifier("filter.fingerprint", self.fingerprint),
            cause=self.reason,
        )


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Replay the selected messages that wait, if there are exactly `expected_count`."""

    filter: Annotated[ParkedSelector, described("Messages to replay.")]
    expected_count: Count

    def criteria(self) -> ParkedFilter:
        """Raises `Invalid`, or `InvalidValues` for several faults."""
        try:
            return self.filter.filter()
        except Invalid as error:
            raise with_all_faults(error, self) from error


class AcceptedCount(msgspec.Struct, frozen=True, kw_only=True):
    """The number of replays or retries that were accepted."""

    requested: Count


def _encode_body(body: bytes, *, truncated: bool) -> tuple[Literal["utf-8", "base64"], str]:
    try:
        return "utf-8", body.decode()
    except UnicodeDecodeError as error:
        if truncated and error.reason == "unexpected end of data":
            return "utf-8", body[: error.start].decode()  # the cut is inside a character
        return "base64", b64encode(body).decode()
