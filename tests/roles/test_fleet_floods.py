"""Bounds of the fleet service's connections, and malformed headers, by a client that writes HTTP/2 frames itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest
from grpclib import Status
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event, PingAckReceived, ResponseReceived, StreamEnded, TrailersReceived

from gofleet.adapters.grpc import transport
from gofleet.adapters.grpc.frames import PREFACE_BYTES, ControlFrames
from tests.makers import a_position, on_the_map
from tests.roles.stock import WilfulPositions, serving
from tests.waiting import eventually

PATH = "/pb.FleetService/SearchDriver"
SEARCH = b"\0\0\0\0\x05\x0a\x03o-1"
"""A SearchDriverRequest for o-1, as a message of gRPC."""
Headers = Sequence[tuple[str, str | bytes]]


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


FLOODS = {
    "pings": frame(0x6, bytes(8)),
    "settings": frame(0x4),
    "settings with values": frame(0x4, bytes([0, 4, 0, 0, 255, 255])),
    "settings acknowledged": frame(0x4, flags=1),
    "priorities": frame(0x2, bytes(5), stream=1),
    "window updates": frame(0x8, bytes([0, 0, 0, 1])),
    "an extension": frame(0xBE, b"grease"),
}


class RawClient:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.http2 = H2Connection(
            H2Configuration(client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self.http2.initiate_connection()
        self.events: list[Event] = []

    def start(self, headers: Headers = (), *, without: str = "", message: bytes | None = SEARCH) -> int:
        """Begin a call, with its only message or without; the id of its stream."""
        stream = self.http2.get_next_available_stream_id()
        head: dict[str, str] = {":method": "POST", ":scheme": "http", ":path": PATH, ":authority": "us"}
        head |= {"te": "trailers", "content-type": "application/grpc"}
        self.http2.send_headers(stream, [*((name, head[name]) for name in head if name != without), *headers])
        if message is not None:
            self.http2.send_data(stream, message, end_stream=True)
        return stream

    async def send(self, more: bytes = b"") -> None:
        try:
            self._writer.write(self.http2.data_to_send() + more)
            await self._writer.drain()
        except ConnectionError:
            pass  # the server may close before everything is sent

    async def read(self, *kinds: type[Event], count: int = 1) -> list[Event]:
        """The next `count` events of these kinds, or fewer if the connection ends before."""
        found: list[Event] = []
        async with asyncio.timeout(10):
            while len(found) < count:
                try:
                    data = await self._reader.read(65_536)
                except ConnectionError:
                    break
                if not data:
                    break
                found += [event for event in self.http2.receive_data(data) if isinstance(event, kinds)]
                await self.send()
        return found

    async def status(self, headers: Headers = (), *, without: str = "", message: bytes | None = SEARCH) -> int:
        """The grpc-status of a call."""
        self.start(headers, without=without, message=message)
        await self.send()
        while events := await self.read(ResponseReceived, TrailersReceived):
            for event in events:
                assert isinstance(event, ResponseReceived | TrailersReceived)
                if status := dict(event.headers).get(b"grpc-status"):
                    return int(status)
        raise AssertionError("no status")

    async def is_closed(self) -> bool:
        """Whether the server has closed the connection, or does within a second."""
        try:
            async with asyncio.timeout(1):
                while await self._reader.read(65_536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def connected(port: int) -> AsyncGenerator[RawClient]:
    client = RawClient(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
async def positions() -> WilfulPositions:
    positions = WilfulPositions()
    await on_the_map(positions, [a_position("ana", metres_north=100)])
    return positions


@pytest.fixture
def no_traceback(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING)
    return caplog


async def test_more_connections_than_allowed_are_closed_at_once(positions: WilfulPositions) -> None:
    async with serving(positions, connections_max=2) as port, connected(port) as one, connected(port) as two:
        assert [await one.status(), await two.status()] == [0, 0]
        async with connected(port) as third:
            await third.send()
            assert await third.is_closed()
        assert [await one.status(), await two.status()] == [0, 0]
        two.close()

        async def another_is_served() -> bool:
            async with connected(port) as client:
                await client.send()
                return not await client.is_closed()

        await eventually(another_is_served)


async def test_a_connection_without_a_preface_is_closed(
    positions: WilfulPositions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "OPENING_SECONDS", 0.1)
    async with serving(positions) as port, connected(port) as silent, connected(port) as idle:
        await idle.send()
        assert await silent.is_closed()
        assert not await idle.is_closed()
        assert await idle.status() == 0


async def test_rapid_resets_end_the_connection(positions: WilfulPositions) -> None:
    async with serving(positions, control_frames_max=200) as port, connected(port) as client, connected(port) as other:
        for _ in range(1000):
            client.http2.reset_stream(client.start(message=None), ErrorCodes.CANCEL)
        await client.send()
        [end] = await client.read(ConnectionTerminated)
        assert isinstance(end, ConnectionTerminated)
        assert end.error_code == ErrorCodes.ENHANCE_YOUR_CALM
        assert await client.is_closed()
        assert await other.status() == 0


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_of_control_frames_ends_the_connection(positions: WilfulPositions, kind: str) -> None:
    async with serving(positions, control_frames_max=200) as port, connected(port) as client, connected(port) as other:
        assert await client.status() == 0
        await client.send(FLOODS[kind] * 1000)
        ends = await client.read(ConnectionTerminated)
        assert [end.error_code for end in ends if isinstance(end, ConnectionTerminated)] == [
            ErrorCodes.ENHANCE_YOUR_CALM
        ]
        assert await client.is_closed()
        assert await other.status() == 0


async def test_a_flood_of_empty_data_ends_the_connection(positions: WilfulPositions) -> None:
    async with serving(positions, control_frames_max=200) as port, connected(port) as client:
        stream = client.start(message=None)
        await client.send(frame(0x0, stream=stream) * 1000)
        assert await client.read(ConnectionTerminated)
        assert await client.is_closed()


async def test_control_frames_that_accompany_calls_are_free(positions: WilfulPositions) -> None:
    async with serving(positions, control_frames_max=100) as port, connected(port) as client:
        for number in range(300):
            client.http2.ping(number.to_bytes(8, "big"))
            client.http2.increment_flow_control_window(1)
            assert await client.status() == 0


async def test_control_frames_within_the_limit_are_answered(positions: WilfulPositions) -> None:
    async with serving(positions, control_frames_max=100) as port, connected(port) as client:
        await client.send(FLOODS["pings"] * 90)
        assert len(await client.read(PingAckReceived, count=90)) == 90
        assert await client.status() == 0


async def test_an_unknown_frame_is_ignored(positions: WilfulPositions, no_traceback: pytest.LogCaptureFixture) -> None:
    async with serving(positions) as port, connected(port) as client:
        await client.send(FLOODS["an extension"])
        assert await client.status() == 0
    assert no_traceback.records == []


async def test_too_many_calls_at_once_end_the_connection(positions: WilfulPositions) -> None:
    async with serving(positions) as port, connected(port) as client, connected(port) as other:
        for _ in range(101):  # our client keeps to the 100 of the server's settings, which it has not read yet
            client.start(message=None)
        await client.send()
        assert await client.is_closed()
        assert await other.status() == 0


def test_the_budget_counts_frames_cut_anywhere() -> None:
    sent = (
        bytes(PREFACE_BYTES) + FLOODS["settings with values"] + FLOODS["pings"] * 8 + frame(0x1, b"x" * 300, stream=1)
    )
    sent += frame(0x3, bytes(4), stream=1) + FLOODS["pings"] * 3
    for size in (1, 2, 9, 10, 17, 500):
        for burst in (12, 13):  # settings and pings cost 12, the call earns 3, its reset costs 4
            budget = ControlFrames(burst, clock=lambda: 0.0)
            fed = [budget.feed(sent[start : start + size]) for start in range(0, len(sent), size)]
            assert budget.opened
            assert all(fed) == (burst == 13)


def test_the_budget_fills_with_time() -> None:
    now = 0.0
    budget = ControlFrames(100, clock=lambda: now)
    assert budget.feed(bytes(PREFACE_BYTES) + FLOODS["pings"] * 100)
    now = 1.0
    assert budget.feed(FLOODS["pings"] * 10)
    assert not budget.feed(FLOODS["pings"])


MALFORMED = [
    "",
    "1",
    "S",
    "-1S",
    "+1S",
    "1.5S",
    "1e3S",
    "1 S",
    " 1S",
    "1s",
    "1X",
    "nan",
    "100000000S",
    "9" * 5000 + "H",
]


@pytest.mark.parametrize("time", MALFORMED)
async def test_a_malformed_timeout_is_an_invalid_argument(
    positions: WilfulPositions, time: str, no_traceback: pytest.LogCaptureFixture
) -> None:
    async with serving(positions) as port, connected(port) as client:
        assert await client.status([("grpc-timeout", time)]) == Status.INVALID_ARGUMENT.value
        assert await client.status([("grpc-timeout", "1S"), ("grpc-timeout", time)]) == 3
        assert await client.status() == 0
    assert no_traceback.records == []


@pytest.mark.parametrize("time", ["0n", "0u", "0m", "0S", "0M", "0H", "00000000H", "1n", "999u"])
async def test_a_timeout_that_has_passed_exceeds_the_deadline(
    positions: WilfulPositions, time: str, no_traceback: pytest.LogCaptureFixture
) -> None:
    async with serving(positions) as port, connected(port) as client:
        assert await client.status([("grpc-timeout", time)]) == Status.DEADLINE_EXCEEDED.value
        assert await client.status() == 0
    assert no_traceback.records == []


@pytest.mark.parametrize("time", ["99999999H", "99999999S", "5000m", "99999999n"])
async def test_a_long_timeout_is_kept(
    positions: WilfulPositions, time: str, no_traceback: pytest.LogCaptureFixture
) -> None:
    async with serving(positions) as port, connected(port) as client:
        assert await client.status([("grpc-timeout", time)]) == 0
    assert no_traceback.records == []


@pytest.mark.parametrize(
    ("headers", "without", "status"),
    [
        ([("trace-bin", "a")], "", Status.INVALID_ARGUMENT),
        ([("trace-bin", "abcde")], "", Status.INVALID_ARGUMENT),
        ([("trace-bin", "YWI")], "", Status.OK),
        ([("grpc-status-details-bin", "a")], "", Status.OK),
        ([("x-text", "y" * 5000)], "", Status.OK),
        ([("grpc-encoding", "nonsense")], "", Status.OK),
        ([("traceparent", "nonsense")], "", Status.OK),
        ([], ":path", Status.INTERNAL),
        ([], ":method", Status.INTERNAL),
        ([], "te", Status.UNKNOWN),
        ([], "content-type", Status.UNKNOWN),
    ],
)
async def test_other_malformed_headers_are_answered(
    positions: WilfulPositions,
    headers: Headers,
    without: str,
    status: Status,
    no_traceback: pytest.LogCaptureFixture,
) -> None:
    async with serving(positions) as port, connected(port) as client:
        assert await client.status(headers, without=without) == status.value
        assert await client.status() == 0
    assert no_traceback.records == []


async def test_a_header_that_is_not_ascii_ends_the_connection(
    positions: WilfulPositions, no_traceback: pytest.LogCaptureFixture
) -> None:
    async with serving(positions) as port, connected(port) as client, connected(port) as other:
        client.start([("x-name", b"\xff\xfe")])
        await client.send()
        assert await client.is_closed()
        assert await other.status() == 0
    assert no_traceback.records == []


async def test_a_call_without_a_message_is_refused(
    positions: WilfulPositions, no_traceback: pytest.LogCaptureFixture
) -> None:
    async with serving(positions) as port, connected(port) as client:
        stream = client.start(message=None)
        client.http2.end_stream(stream)
        await client.send()
        assert await client.read(StreamEnded)
        assert await client.status() == 0
    assert no_traceback.records == []
