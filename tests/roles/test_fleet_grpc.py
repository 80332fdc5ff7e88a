"""The fleet service on the wire, called by Google's own client."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import grpc
import pytest
from grpclib import Status
from grpclib.health.v1.health_pb2 import HealthCheckResponse

from gofleet.domain.driver import Driver
from gofleet.domain.errors import Unavailable
from gofleet.testing.drivers import MemoryDrivers
from tests.makers import CENTRE, a_position, on_the_map
from tests.roles.stock import OURS, StockClient, WilfulPositions, a_client, raw_call, serving, status
from tests.waiting import eventually

SEED = """
syntax = "proto3";
package pb;
service FleetService { rpc SearchDriver(SearchDriverRequest) returns (SearchDriverResponse); }
message SearchDriverRequest { string order_id = 1; }
message SearchDriverResponse { string driver_id = 1; string name = 2; double lat = 3; double lng = 4; }
"""
HERE = {"pickup_lat": CENTRE.lat, "pickup_lng": CENTRE.lng}


@pytest.fixture
async def positions() -> WilfulPositions:
    positions = WilfulPositions()
    await on_the_map(positions, [a_position("ana", metres_north=100), a_position("bia", metres_north=900)])
    return positions


@pytest.fixture
async def drivers() -> MemoryDrivers:
    drivers = MemoryDrivers()
    for name in ("Ana", "Bia", "Cai"):
        await drivers.put(Driver(name.lower(), name))
    return drivers


@pytest.fixture
async def client(positions: WilfulPositions, drivers: MemoryDrivers) -> AsyncGenerator[StockClient]:
    async with a_client(positions, drivers=drivers) as client:
        yield client


async def test_a_search_answers_the_claimed_driver_and_the_others(client: StockClient) -> None:
    answer = await client.call("SearchDriver", order_id="o-1", **HERE, radius_km=5, limit=5)

    assert (answer.driver_id, answer.name, answer.lng) == ("ana", "ana", CENTRE.lng)
    assert answer.distance_m == pytest.approx(100, abs=1)
    assert answer.claim_expires_in_ms == 10_000
    assert list(answer.candidate_ids) == list(answer.candidate_names) == ["bia"]
    assert list(answer.candidate_lngs) == [CENTRE.lng]
    assert list(answer.candidate_distances_m) == [pytest.approx(900, abs=1)]
    assert len(answer.candidate_lats) == 1


async def test_a_client_of_the_first_service_is_still_served(positions: WilfulPositions, tmp_path: Path) -> None:
    (tmp_path / "fleet.proto").write_text(SEED)
    compile_seed = ["-m", "grpc_tools.protoc", "-I.", "--descriptor_set_out=seed.binpb", "fleet.proto"]
    subprocess.run([sys.executable, *compile_seed], cwd=tmp_path, check=True)

    async with serving(positions) as port:
        seed = StockClient(port, (tmp_path / "seed.binpb").read_bytes())
        with seed.channel:
            answer = await seed.call("SearchDriver", order_id="o-1")

    assert (answer.driver_id, answer.name, answer.lng) == ("ana", "ana", CENTRE.lng)


async def test_no_driver_nearby_is_not_found(client: StockClient) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        await client.call("SearchDriver", order_id="o-1", **HERE, exclude=["ana", "bia"])

    assert status(failure) == (grpc.StatusCode.NOT_FOUND, "no free driver within 5 km of order o-1")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"order_id": ""}, "order_id"),
        ({"order_id": "a b"}, "order_id"),
        ({"order_id": "x" * 65}, "order_id"),
        ({"pickup_lat": 91.0}, "pickup.lat"),
        ({"pickup_lng": float("nan")}, "pickup.lng"),
        ({"pickup_lat": 0.0, "pickup_lng": 0.0}, "pickup"),
        ({"pickup_lng": None}, "pickup"),
        ({"radius_km": -1.0}, "radius_km"),
        ({"radius_km": 51.0}, "radius_km"),
        ({"radius_km": float("inf")}, "radius_km"),
        ({"exclude": ["a b"]}, "exclude"),
        ({"exclude": ["a"] * 101}, "exclude"),
    ],
)
async def test_an_invalid_search_is_refused(client: StockClient, wrong: dict[str, object], field: str) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        await client.call("SearchDriver", **{"order_id": "o-1", **HERE, **wrong})

    code, details = status(failure)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith(f"{field} ")


async def test_without_a_depot_a_search_needs_a_pickup(positions: WilfulPositions) -> None:
    async with serving(positions, depot=None) as port:
        stock = StockClient(port, OURS)
        with stock.channel, pytest.raises(grpc.RpcError) as failure:
            await stock.call("SearchDriver", order_id="o-1")

    assert status(failure)[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_position_is_applied_unless_a_newer_one_is_known(client: StockClient) -> None:
    place = {"driver_id": "cai", "lat": CENTRE.lat, "lng": CENTRE.lng}
    now = time.time_ns() // 1_000_000

    assert (await client.call("UpdatePosition", **place, recorded_at_ms=now)).applied
    assert not (await client.call("UpdatePosition", **place, recorded_at_ms=now - 5000)).applied
    assert (await client.call("UpdatePosition", **place)).applied


@pytest.mark.parametrize(
    "wrong",
    [{"driver_id": ""}, {"lat": 90.0}, {"recorded_at_ms": 4_000_000_000_000}, {"recorded_at_ms": 2**63 - 1}],
)
async def test_an_invalid_position_is_refused(client: StockClient, wrong: dict[str, object]) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        await client.call("UpdatePosition", **{"driver_id": "cai", "lat": CENTRE.lat, "lng": CENTRE.lng, **wrong})

    assert status(failure)[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_stream_of_positions_is_counted(client: StockClient) -> None:
    await client.call("RegisterDriver", driver_id="cai", name="Cai")
    now = time.time_ns() // 1_000_000
    batch: dict[str, object] = {
        "driver_ids": ["cai", "not an id", "dora", "cai"],
        "lats": [CENTRE.lat, CENTRE.lat, 0.0, CENTRE.lat],
        "lngs": [CENTRE.lng, CENTRE.lng, 0.0, CENTRE.lng],
        "recorded_at_ms": [now, now, now, now - 5000],
    }

    counts = await client.stream("StreamPositions", [batch, {}, {**batch, "recorded_at_ms": [0] * 4}])

    assert (counts.accepted, counts.older, counts.refused) == (3, 1, 4)


@pytest.mark.parametrize(
    "batch",
    [
        {"driver_ids": ["cai"]},
        {"driver_ids": ["c"] * 1001, "lats": [1.0] * 1001, "lngs": [1.0] * 1001, "recorded_at_ms": [0] * 1001},
    ],
    ids=["columns of different lengths", "too many"],
)
async def test_an_invalid_batch_ends_the_stream(client: StockClient, batch: dict[str, object]) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        await client.stream("StreamPositions", [batch])

    assert status(failure)[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_driver_off_duty_is_not_found_until_back(client: StockClient, drivers: MemoryDrivers) -> None:
    """The record counts, not the request, which may be older."""
    await drivers.put(Driver("ana", "Ana", on_duty=False))
    await client.call("RegisterDriver", driver_id="ana", name="Ana", on_duty=True)
    assert (await client.call("SearchDriver", order_id="o-1")).driver_id == "bia"

    await drivers.put(Driver("ana", "Ana"))
    await client.call("RegisterDriver", driver_id="ana", name="Bia", on_duty=False)
    assert (await client.call("SearchDriver", order_id="o-2")).name == "Ana"


async def test_a_driver_without_a_record_is_not_registered(client: StockClient) -> None:
    requests: dict[str, dict[str, object]] = {
        "RegisterDriver": {"driver_id": "eva", "name": "Eva"},
        "UpdatePosition": {"driver_id": "eva", "lat": CENTRE.lat, "lng": CENTRE.lng},
    }
    for rpc, request in requests.items():
        with pytest.raises(grpc.RpcError) as failure:
            await client.call(rpc, **request)
        assert status(failure) == (grpc.StatusCode.NOT_FOUND, "there is no driver eva: register it first")
    batch = {"lats": [CENTRE.lat] * 3, "lngs": [CENTRE.lng] * 3, "recorded_at_ms": [0] * 3}
    answer = await client.stream("StreamPositions", [{"driver_ids": ["eva", "cai", "eva"], **batch}])

    assert (answer.accepted, answer.refused, list(answer.unregistered)) == (1, 2, ["eva"])
    exclude = ["ana", "bia", "cai"]
    with pytest.raises(grpc.RpcError) as failure:
        await client.call("SearchDriver", order_id="o-1", exclude=exclude)
    assert status(failure)[0] is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("wrong", [{"name": ""}, {"name": "a\nb"}, {"driver_id": "/"}])
async def test_an_invalid_driver_is_refused(client: StockClient, wrong: dict[str, object]) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        await client.call("RegisterDriver", **{"driver_id": "ana", "name": "Ana", **wrong})

    assert status(failure)[0] is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("broken", [b"\x0a\xff", b"\x12\x01a", b"\x0d\0\0\0\0", b"\x0a\x02\xff\xff", b"\x08\x01"])
async def test_bytes_that_are_no_message_are_refused(client: StockClient, broken: bytes) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        await client.send("SearchDriver", broken)

    assert status(failure) == (grpc.StatusCode.INVALID_ARGUMENT, "not a SearchDriverRequest")


@pytest.mark.parametrize("path", ["SearchDriver", "StreamPositions"])
@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\0\0\0\0\5ab", Status.INVALID_ARGUMENT),
        (b"\0\0", Status.INVALID_ARGUMENT),
        (b"\1\0\0\0\2ab", Status.UNIMPLEMENTED),
        (b"\0\0\1\0\0ab", Status.INVALID_ARGUMENT),
    ],
    ids=["half a message", "half a head", "compressed", "less than promised"],
)
async def test_truncated_and_compressed_messages_are_client_errors(
    positions: WilfulPositions, path: str, sent: bytes, code: Status
) -> None:
    async with serving(positions) as port:
        assert await raw_call(port, f"/pb.FleetService/{path}", sent) == code.value


async def test_a_call_without_a_message_is_a_client_error(positions: WilfulPositions) -> None:
    async with serving(positions) as port:
        assert await raw_call(port, "/pb.FleetService/SearchDriver", b"") == Status.INVALID_ARGUMENT.value
        assert await raw_call(port, "/pb.FleetService/StreamPositions", b"") == Status.OK.value


async def test_an_outage_of_redis_is_unavailable(client: StockClient, positions: WilfulPositions) -> None:
    positions.failure = Unavailable("redis", "Connection refused")

    with pytest.raises(grpc.RpcError) as failure:
        await client.call("SearchDriver", order_id="o-1")

    assert status(failure) == (grpc.StatusCode.UNAVAILABLE, "redis is unavailable: Connection refused")


async def test_internal_errors_are_logged_and_not_disclosed(client: StockClient, positions: WilfulPositions) -> None:
    positions.failure = ZeroDivisionError("secret")

    with pytest.raises(grpc.RpcError) as failure:
        await client.call("SearchDriver", order_id="o-1")

    assert status(failure) == (grpc.StatusCode.INTERNAL, "internal error")


async def test_a_cancelled_call_is_not_executed_further(client: StockClient, positions: WilfulPositions) -> None:
    positions.gate.clear()
    client.seconds = 0.1

    with pytest.raises(grpc.RpcError) as failure:
        await client.call("SearchDriver", order_id="o-1")

    assert status(failure)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(positions.cancelled.wait(), 5)


async def test_the_trace_of_the_caller_continues(client: StockClient, positions: WilfulPositions) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    client.metadata = (("traceparent", f"00-{trace_id}-00f067aa0ba902b7-01"),)

    await client.call("SearchDriver", order_id="o-1")

    assert positions.trace_ids[-1] == trace_id


@pytest.mark.parametrize("service", ["", "pb.FleetService"])
async def test_health_is_serving(client: StockClient, service: str) -> None:
    assert await client.health(service) == HealthCheckResponse.SERVING


async def test_stopping_lets_calls_in_flight_finish_and_refuses_new_ones(positions: WilfulPositions) -> None:
    stop = asyncio.Event()
    ports: asyncio.Queue[int] = asyncio.Queue()

    async def serve() -> None:
        async with serving(positions) as port:
            ports.put_nowait(port)
            await stop.wait()

    server = asyncio.create_task(serve())
    client = StockClient(await ports.get(), OURS)
    with client.channel:
        positions.entered.clear()
        positions.gate.clear()
        in_flight = asyncio.create_task(client.call("SearchDriver", order_id="o-1"))
        await positions.entered.wait()

        stop.set()
        await asyncio.sleep(0)
        with pytest.raises(grpc.RpcError) as failure:
            await client.call("SearchDriver", order_id="o-2")
        assert status(failure) == (grpc.StatusCode.UNAVAILABLE, "stopping")
        assert await client.health("pb.FleetService") == HealthCheckResponse.NOT_SERVING
        assert not server.done()

        positions.gate.set()
        assert (await in_flight).driver_id == "ana"
        await asyncio.wait_for(server, 5)


async def test_a_call_beyond_the_grace_period_is_unavailable(positions: WilfulPositions) -> None:
    async with serving(positions, grace_seconds=0.05) as port:
        client = StockClient(port, OURS)
        positions.entered.clear()
        positions.gate.clear()
        in_flight = asyncio.create_task(client.call("SearchDriver", order_id="o-1"))
        await positions.entered.wait()

    with client.channel, pytest.raises(grpc.RpcError) as failure:
        await in_flight

    assert status(failure) == (grpc.StatusCode.UNAVAILABLE, "stopping")
    assert positions.cancelled.is_set()


async def test_a_stopped_server_leaves_its_port_at_once(positions: WilfulPositions) -> None:
    async with serving(positions) as port:
        client = StockClient(port, OURS)
        await client.call("SearchDriver", order_id="o-1")

    async def served_again() -> bool:
        try:
            return (await client.call("SearchDriver", order_id="o-1")).driver_id == "ana"
        except grpc.RpcError:  # it may not have noticed yet that its connection is closed
            return False

    async with serving(positions, port=port):
        assert await eventually(served_again)
    client.channel.close()
