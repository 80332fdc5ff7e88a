"""What comes off the wire is read as the standard says, wherever it is cut."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gofleet.cli.sse import LARGEST, Reader, ServerSent, TooLong


def read(*chunks: bytes, reader: Reader | None = None) -> list[ServerSent]:
    reader = reader or Reader()
    return [event for chunk in chunks for event in reader.feed(chunk)]


def bytewise(text: bytes) -> Iterator[bytes]:
    return (text[at : at + 1] for at in range(len(text)))


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("data: one\n\n", [ServerSent("message", "one")]),
        ("event: orders.created\ndata: {}\n\n", [ServerSent("orders.created", "{}")]),
        ("data: one\r\n\r\ndata: two\r\rdata: three\n\n", [ServerSent("message", n) for n in ("one", "two", "three")]),
        ("data: one\ndata: two\ndata:\ndata:  three\n\n", [ServerSent("message", "one\ntwo\n\n three")]),
        (": a comment\n:another\ndata: x\n: in between\n\n", [ServerSent("message", "x")]),
        ("data\n\n", [ServerSent("message", "")]),
        ("event: nothing\n\ndata: x\n\n", [ServerSent("message", "x")]),
        ("data: João \U0001f69a \u2028 x\n\n", [ServerSent("message", "João \U0001f69a \u2028 x")]),
        ("data:x:y\n\n", [ServerSent("message", "x:y")]),
        ("unheard: of\ndata: x\n\n", [ServerSent("message", "x")]),
        ("\ufeffdata: x\n\n", [ServerSent("message", "x")]),
        ("data: never ended\n", []),
        ("\n\n\n", []),
    ],
)
def test_it_is_the_same_however_it_is_cut(text: str, events: list[ServerSent]) -> None:
    raw = text.encode()

    assert read(raw) == events
    assert read(*bytewise(raw)) == events
    for at in range(1, len(raw)):
        assert read(raw[:at], raw[at:]) == events, at


def test_bytes_that_are_no_text_harm_nothing() -> None:
    assert read(b"data: \xff\xc3\n\ndata: y\n\n") == [
        ServerSent("message", "\ufffd\ufffd"),
        ServerSent("message", "y"),
    ]


def test_the_last_id_is_of_the_last_whole_event_and_stays() -> None:
    reader = Reader("before")

    read(b"id: 1\nda", reader=reader)
    assert reader.last_id == "before"
    read(b"ta: x\n\n", reader=reader)
    assert reader.last_id == "1"
    read(b"data: y\n\nid: with\0nul\ndata: z\n\n", reader=reader)
    assert reader.last_id == "1"
    read(b"id\n\n", reader=reader)
    assert reader.last_id == ""


def test_the_pause_before_coming_back_is_what_the_server_said() -> None:
    reader = Reader()

    read(b"retry: 2000\nretry: soon\nretry: -1\nretry: \xc2\xb2\n\n", reader=reader)
    assert reader.retry_ms == 2000


@pytest.mark.parametrize("piece", [b"x" * 1000, b"data: " + b"x" * 1000 + b"\n"])
def test_what_never_ends_is_not_kept(piece: bytes) -> None:
    with pytest.raises(TooLong):
        read(*[piece] * (LARGEST // 1000 + 2))
