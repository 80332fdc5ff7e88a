"""`GrpcFleet` against our server, and against peers that are not a working server."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from grpclib import GRPCError, Status
from grpclib.client import Channel
from grpclib.encoding.proto import ProtoCodec
from grpclib.server import Server
from h2.exceptions import StreamClosedError

from gofleet.adapters.grpc.client import GrpcFleet
from gofleet.adapters.grpc.connection import UNANSWERED_MAX, FleetConnection
from gofleet.adapters.grpc.pb import FleetServiceBase, SearchDriverRequest, SearchDriverResponse
from gofleet.adapters.redis.connection import redis_client
from gofleet.adapters.redis.positions import RedisPositions
from gofleet.domain.driver import Driver, Position, PositionBatchResult
from gofleet.domain.errors import DriverNotFound, FleetUnavailable, Invalid, Unavailable
from gofleet.domain.place import Place
from gofleet.embedded import Valkey
from gofleet.ports import Search
from gofleet.telemetry.tracing import span
from gofleet.testing.drivers import MemoryDrivers
from tests.makers import CENTRE, a_position, on_the_map
from tests.roles.stock import WilfulPositions, serving
from tests.waiting import eventually

HOST = "127.0.0.1"
SEARCH = Search("o-1", CENTRE, 5)
ROOT = Path(__file__).resolve().parents[2]
FLEET_PROCESS = """
import asyncio, sys
from gofleet.adapters.grpc.server import fleet_server
from gofleet.testing.positions import MemoryPositions
from tests.makers import CENTRE, a_position, on_the_map
from tests.roles.stock import AnyDriver

async def main():
    positions = MemoryPositions()
    await on_the_map(positions, [a_position("ana")])
    async with fleet_server(positions, AnyDriver(), host="127.0.0.1", port=int(sys.argv[1]), depot=CENTRE,
                            default_radius_km=5, max_radius_km=50, claim_ms=10_000) as port:
        print(port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
async def positions() -> WilfulPositions:
    positions = WilfulPositions()
    await on_the_map(positions, [a_position("ana", metres_north=100), a_position("bia", metres_north=900)])
    return positions


@pytest.fixture
async def fleet(positions: WilfulPositions) -> AsyncGenerator[GrpcFleet]:
    drivers = MemoryDrivers()
    for name in ("Ana", "Bia", "Cai Lima", "Dora"):
        await drivers.put(Driver(name[:4].strip().lower(), name))
    async with serving(positions, drivers=drivers) as port, GrpcFleet(HOST, port, timeout_seconds=5) as fleet:
        yield fleet


async def test_a_search_gives_candidates_nearest_first(fleet: GrpcFleet) -> None:
    ana, bia = await fleet.search(SEARCH)

    assert (ana.driver_id, bia.driver_id) == ("ana", "bia")
    assert ana.place == Place(CENTRE.lat + 100 / 111_195, CENTRE.lng)
    assert bia.distance_m == pytest.approx(900, abs=1)


async def test_no_driver_nearby_is_an_empty_result(fleet: GrpcFleet) -> None:
    assert await fleet.search(Search("o-1", CENTRE, 5, exclude=("ana", "bia"))) == []


async def test_a_driver_is_registered_and_moved(fleet: GrpcFleet) -> None:
    await fleet.register(Driver("cai", "Cai Lima"))
    newer, older = a_position("cai", metres_north=1), a_position("cai", age_seconds=5)

    assert await fleet.update_position(newer)
    assert not await fleet.update_position(older)
    assert (await fleet.search(SEARCH))[0].name == "Cai Lima"


async def test_an_unregistered_driver_is_not_found(fleet: GrpcFleet, positions: WilfulPositions) -> None:
    for update in (fleet.update_position(a_position("eva")), fleet.update_own_position(a_position("eva"), 200)):
        with pytest.raises(DriverNotFound, match="eva"):
            await update
    result = await fleet.update_positions([a_position("eva"), a_position("fay"), a_position("eva"), a_position("cai")])
    assert result == PositionBatchResult(1, 0, 3, frozenset({"eva", "fay"}))
    with pytest.raises(FleetUnavailable, match="NOT_FOUND"):
        await fleet.register(Driver("eva", "Eva"))
    assert await positions.locate(["eva", "fay"]) == []


@pytest.mark.parametrize("microseconds", [-400, 0, 400])
async def test_the_epoch_is_an_old_time_and_not_now(fleet: GrpcFleet, microseconds: int) -> None:
    now = a_position("cai", metres_north=1)
    epoch = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    old = replace(now, place=CENTRE, recorded_at=epoch)
    assert await fleet.update_position(now)

    assert not await fleet.update_position(old)
    assert await fleet.update_positions([old]) == PositionBatchResult(0, 1, 0)
    assert await fleet.stream_positions(batches([old])) == PositionBatchResult(0, 1, 0)
    assert await fleet.update_position(replace(old, driver_id="dora"))
    [dora] = await fleet.locate(["dora"])
    assert not dora.free


async def test_an_own_position_is_charged_to_the_travel_budget(fleet: GrpcFleet) -> None:
    assert await fleet.update_own_position(a_position("cai"), 200)
    with pytest.raises(Invalid) as refused:
        await fleet.update_own_position(a_position("cai", metres_north=5_000), 200)
    assert (refused.value.field, refused.value.why) == (
        "lat",
        "and lng are further from the last position than 200 km/h allows",
    )
    assert await fleet.update_position(a_position("cai", metres_north=5_000))
    for speed in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(Invalid):
            await fleet.update_own_position(a_position("cai"), speed)


async def test_what_the_service_refuses_is_invalid(fleet: GrpcFleet) -> None:
    with pytest.raises(Invalid) as refused:
        await fleet.search(Search("o-1", Place(91, 0), 5))
    assert (refused.value.field, refused.value.why) == ("pickup.lat", "must be between -85.05 and 85.05")

    with pytest.raises(Invalid):
        await fleet.register(Driver("ana", ""))
    with pytest.raises(Invalid):
        await fleet.update_position(Position("ana", Place(0, 0), a_position().recorded_at))


@pytest.mark.parametrize("failure", [Unavailable("redis", "away"), ZeroDivisionError()])
async def test_a_failing_service_is_unavailable(
    fleet: GrpcFleet, positions: WilfulPositions, failure: Exception
) -> None:
    positions.failure = failure

    with pytest.raises(FleetUnavailable):
        await fleet.search(SEARCH)


async def test_the_trace_continues_in_the_service(fleet: GrpcFleet, positions: WilfulPositions) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"

    with span("caller", traceparent=f"00-{trace_id}-00f067aa0ba902b7-01"):
        await fleet.search(SEARCH)

    assert positions.trace_ids[-1] == trace_id


async def test_fifty_orders_at_once_get_fifty_drivers(valkey_server: Valkey) -> None:
    address = valkey_server.address
    async with redis_client(address.host, address.port, password=address.password, timeout_seconds=5) as redis:
        positions = RedisPositions(redis, prefix=f"t-{uuid4().hex}:", stale_seconds=60, claim_ms=10_000)
        await on_the_map(positions, [a_position(f"d-{number}", metres_north=number) for number in range(50)])
        async with serving(positions) as port, GrpcFleet(HOST, port, timeout_seconds=10) as fleet:
            answers = await asyncio.gather(*(fleet.search(Search(f"o-{n}", CENTRE, 5, limit=1)) for n in range(50)))

    assert len({claimed.driver_id for [claimed] in answers}) == 50


async def batches(*all_of_them: Sequence[Position]) -> AsyncIterator[Sequence[Position]]:
    for batch in all_of_them:
        yield batch


async def test_a_stream_of_positions_is_counted(fleet: GrpcFleet) -> None:
    now, older = a_position("cai"), a_position("cai", age_seconds=5)
    nowhere = Position("dora", Place(0, 0), now.recorded_at)

    assert await fleet.stream_positions(batches([now, nowhere], [], [older])) == PositionBatchResult(1, 1, 1)


async def test_a_stream_may_pause_for_longer_than_the_timeout(positions: WilfulPositions) -> None:
    async def with_a_pause() -> AsyncIterator[Sequence[Position]]:
        yield [a_position("cai")]
        await asyncio.sleep(0.1)
        yield [a_position("cai")]

    async with serving(positions) as port, GrpcFleet(HOST, port, timeout_seconds=0.05) as fleet:
        assert (await fleet.stream_positions(with_a_pause())).accepted == 2


async def test_a_stream_to_a_hung_service_times_out(positions: WilfulPositions) -> None:
    async with serving(positions, grace_seconds=0) as port, GrpcFleet(HOST, port, timeout_seconds=0.1) as fleet:
        positions.gate.clear()
        with pytest.raises(FleetUnavailable):
            await fleet.stream_positions(batches([a_position("cai")]))


async def test_a_message_on_a_stream_that_the_service_has_closed_is_unavailable(unused_tcp_port: int) -> None:
    """h2's own error; seen after a pause of the whole machine in the middle of a stream."""
    connection = FleetConnection(HOST, unused_tcp_port, 1.0)

    with pytest.raises(FleetUnavailable, match="5"), connection.call("StreamPositions"):
        raise StreamClosedError(5)

    connection.close()


async def test_a_stream_is_unavailable_when_the_service_stops(positions: WilfulPositions) -> None:
    sent, stopped = asyncio.Event(), asyncio.Event()

    async def endless() -> AsyncIterator[Sequence[Position]]:
        yield [a_position("cai")]
        sent.set()
        await stopped.wait()
        yield [a_position("cai")]

    async with serving(positions, grace_seconds=60) as port:
        fleet = GrpcFleet(HOST, port)
        positions.entered.clear()
        stream = asyncio.create_task(fleet.stream_positions(endless()))
        await sent.wait()
        await positions.entered.wait()
    stopped.set()

    with pytest.raises(FleetUnavailable):
        await stream
    fleet.close()


async def test_a_closed_fleet_port_is_unavailable(unused_tcp_port: int) -> None:
    async with GrpcFleet(HOST, unused_tcp_port) as fleet:
        with pytest.raises(FleetUnavailable):
            await fleet.search(SEARCH)


async def test_an_unknown_host_name_is_unavailable() -> None:
    async with GrpcFleet("no-such-host.invalid", 50051, timeout_seconds=5) as fleet:
        with pytest.raises(FleetUnavailable):
            await fleet.search(SEARCH)


async def test_a_hung_service_is_unavailable_within_the_deadline(positions: WilfulPositions) -> None:
    async with serving(positions) as port, GrpcFleet(HOST, port, timeout_seconds=0.2) as fleet:
        positions.gate.clear()
        began = time.monotonic()
        with pytest.raises(FleetUnavailable):
            await fleet.search(SEARCH)
        assert time.monotonic() - began < 3

        positions.gate.set()
        assert await fleet.search(SEARCH)


async def test_a_silent_peer_is_unavailable_within_the_deadline() -> None:
    with socket.create_server((HOST, 0)) as mute:
        async with GrpcFleet(HOST, mute.getsockname()[1], timeout_seconds=0.1) as fleet:
            for _ in range(5):
                with pytest.raises(FleetUnavailable):
                    await fleet.search(SEARCH)


async def test_a_peer_that_does_not_speak_grpc_is_unavailable() -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(web, HOST, 0)
    async with server, GrpcFleet(HOST, server.sockets[0].getsockname()[1], timeout_seconds=1) as fleet:
        with pytest.raises(FleetUnavailable):
            await fleet.search(SEARCH)


class ScriptedFleet(FleetServiceBase):
    """A fleet service with a configured response."""

    def __init__(self, answer: SearchDriverResponse | GRPCError | None) -> None:
        self._answer = answer

    async def search_driver(self, search_driver_request: SearchDriverRequest) -> SearchDriverResponse:
        if isinstance(self._answer, GRPCError):
            raise self._answer
        return self._answer or SearchDriverResponse()


class Gibberish(ProtoCodec):
    def encode(self, message: object, message_type: object) -> bytes:  # pyright: ignore[reportIncompatibleMethodOverride]
        return b"\x0a\xff\xff"


@asynccontextmanager
async def answering(
    answer: SearchDriverResponse | GRPCError | None, codec: ProtoCodec | None = None
) -> AsyncGenerator[GrpcFleet]:
    server = Server([ScriptedFleet(answer)], codec=codec)
    with socket.create_server((HOST, 0)) as listening:
        await server.start(sock=listening)
        async with GrpcFleet(HOST, listening.getsockname()[1], timeout_seconds=5) as fleet:
            yield fleet
        server.close()
        await server.wait_closed()


def a_driver(**values: object) -> SearchDriverResponse:
    fields: dict[str, object] = {"driver_id": "ana", "name": "Ana", "lat": CENTRE.lat, "lng": CENTRE.lng, **values}
    return SearchDriverResponse(**fields)  # pyright: ignore[reportArgumentType]


async def test_a_response_of_the_first_service_is_decoded() -> None:
    async with answering(a_driver()) as fleet:
        assert [one.driver_id for one in await fleet.search(SEARCH)] == ["ana"]


@pytest.mark.parametrize(
    "answer",
    [
        SearchDriverResponse(),
        a_driver(driver_id="not an id"),
        a_driver(lat=float("nan")),
        a_driver(lng=float("inf")),
        a_driver(lat=0.0, lng=0.0),
        a_driver(distance_m=-1.0),
        a_driver(distance_m=float("nan")),
        a_driver(candidate_ids=["bia"]),
        a_driver(
            candidate_ids=[""],
            candidate_names=["Bia"],
            candidate_lats=[1.0],
            candidate_lngs=[1.0],
            candidate_distances_m=[1.0],
        ),
        *(
            GRPCError(status, "no")
            for status in Status
            if status not in {Status.OK, Status.NOT_FOUND, Status.INVALID_ARGUMENT}
        ),
    ],
)
async def test_a_malformed_response_is_unavailable(answer: SearchDriverResponse | GRPCError) -> None:
    async with answering(answer) as fleet:
        with pytest.raises(FleetUnavailable):
            await fleet.search(SEARCH)


async def test_bytes_that_are_no_message_are_unavailable() -> None:
    async with answering(a_driver(), Gibberish()) as fleet:
        with pytest.raises(FleetUnavailable):
            await fleet.search(SEARCH)


@asynccontextmanager
async def a_fleet_process(port: int = 0) -> AsyncGenerator[tuple[int, int]]:
    """The pid and the port of a fleet service in a process of its own."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FLEET_PROCESS, str(port), stdout=subprocess.PIPE, cwd=ROOT
    )
    assert child.stdout
    try:
        yield child.pid, int(await child.stdout.readline())
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def test_a_killed_service_is_unavailable_and_found_again_when_it_is_back() -> None:
    async with a_fleet_process() as (pid, port):
        fleet = GrpcFleet(HOST, port, timeout_seconds=5)
        assert await fleet.search(SEARCH)
        os.kill(pid, signal.SIGKILL)

        async def unavailable() -> bool:
            try:
                await fleet.search(SEARCH)
            except FleetUnavailable:
                return True
            return False

        await eventually(unavailable)

    async with a_fleet_process(port), fleet:
        assert await fleet.search(SEARCH)


async def test_a_connection_to_a_vanished_peer_is_closed(positions: WilfulPositions) -> None:
    """As when a machine fails without closing its connections and another one takes its address."""
    async with (
        serving(positions) as port,
        a_proxy(port) as (front, freeze),
        GrpcFleet(HOST, front, timeout_seconds=0.3) as fleet,
    ):
        assert await fleet.search(SEARCH)
        freeze()
        for _ in range(UNANSWERED_MAX):
            with pytest.raises(FleetUnavailable):
                await fleet.search(SEARCH)

        assert await fleet.search(SEARCH)


@asynccontextmanager
async def a_proxy(port: int) -> AsyncGenerator[tuple[int, Callable[[], None]]]:
    """A port forwarded to `port`, and a function that stops all data on its present connections."""
    passing: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(HOST, port)
        writers.extend((writer, far_writer))
        for source, target in ((reader, far_writer), (far_reader, writer)):
            passing.add(asyncio.create_task(_pass_on(source, target)))

    def freeze() -> None:
        for task in passing:
            task.cancel()

    server = await asyncio.start_server(accept, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1], freeze
    finally:
        server.close()
        freeze()
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65_536):
        target.write(data)


async def test_a_connection_that_another_call_closed_is_unavailable_and_made_again(
    fleet: GrpcFleet, positions: WilfulPositions, monkeypatch: pytest.MonkeyPatch
) -> None:
    await on_the_map(positions, [a_position("ana")])
    connect = Channel.__connect__

    async def connect_and_lose(channel: Channel) -> object:
        connection = await connect(channel)
        channel.close()
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(Channel, "__connect__", connect_and_lose)
        with pytest.raises(FleetUnavailable, match="the connection was lost"):
            await fleet.search(Search("o-1", CENTRE, 5))

    assert await fleet.search(Search("o-1", CENTRE, 5))
