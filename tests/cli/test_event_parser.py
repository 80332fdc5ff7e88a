"""The parser for server-sent events: it follows the standard, independently of chunk borders, and is bounded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gofleet.cli.event_stream import EVENT_CHARS_MAX, EventParser, EventTooLong, ServerSentEvent


def parse(*chunks: bytes, parser: EventParser | None = None) -> list[ServerSentEvent]:
    parser = parser or EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def bytewise(text: bytes) -> Iterator[bytes]:
    return (text[at : at + 1] for at in range(len(text)))


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("data: one\n\n", [ServerSentEvent("message", "one")]),
        ("event: orders.created\ndata: {}\n\n", [ServerSentEvent("orders.created", "{}")]),
        (
            "data: one\r\n\r\ndata: two\r\rdata: three\n\n",
            [ServerSentEvent("message", n) for n in ("one", "two", "three")],
        ),
        ("data: one\ndata: two\ndata:\ndata:  three\n\n", [ServerSentEvent("message", "one\ntwo\n\n three")]),
        (": a comment\n:another\ndata: x\n: in between\n\n", [ServerSentEvent("message", "x")]),
        ("data\n\n", [ServerSentEvent("message", "")]),
        ("event: nothing\n\ndata: x\n\n", [ServerSentEvent("message", "x")]),
        ("data: João \U0001f69a \u2028 x\n\n", [ServerSentEvent("message", "João \U0001f69a \u2028 x")]),
        ("data:x:y\n\n", [ServerSentEvent("message", "x:y")]),
        ("unheard: of\ndata: x\n\n", [ServerSentEvent("message", "x")]),
        ("\ufeffdata: x\n\n", [ServerSentEvent("message", "x")]),
        ("data: never ended\n", []),
        ("\n\n\n", []),
    ],
)
def test_events_do_not_depend_on_chunk_borders(text: str, events: list[ServerSentEvent]) -> None:
    raw = text.encode()

    assert parse(raw) == events
    assert parse(*bytewise(raw)) == events
    for at in range(1, len(raw)):
        assert parse(raw[:at], raw[at:]) == events, at


def test_invalid_utf8_is_replaced() -> None:
    assert parse(b"data: \xff\xc3\n\ndata: y\n\n") == [
        ServerSentEvent("message", "\ufffd\ufffd"),
        ServerSentEvent("message", "y"),
    ]


def test_last_id_is_that_of_the_last_complete_event() -> None:
    parser = EventParser("before")

    parse(b"id: 1\nda", parser=parser)
    assert parser.last_id == "before"
    parse(b"ta: x\n\n", parser=parser)
    assert parser.last_id == "1"
    parse(b"data: y\n\nid: with\0nul\ndata: z\n\n", parser=parser)
    assert parser.last_id == "1"
    parse(b"id\n\n", parser=parser)
    assert parser.last_id == ""


def test_retry_is_the_reconnection_time() -> None:
    parser = EventParser()

    parse(b"retry: 2000\nretry: soon\nretry: -1\nretry: \xc2\xb2\n\n", parser=parser)
    assert parser.retry_ms == 2000


@pytest.mark.parametrize("chunk", [b"x" * 1000, b"data: " + b"x" * 1000 + b"\n"])
def test_rejects_an_event_or_line_above_the_limit(chunk: bytes) -> None:
    with pytest.raises(EventTooLong):
        parse(*[chunk] * (EVENT_CHARS_MAX // 1000 + 2))
