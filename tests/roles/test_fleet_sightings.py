"""Nearest drivers, drivers in a box and their positions over gRPC, by a stock client and by our own."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

import grpc
import pytest
from grpclib.server import Server

from gofleet.adapters.grpc.client import GrpcFleet
from gofleet.adapters.grpc.pb import (
    FindDriversRequest,
    FindDriversResponse,
    FleetServiceBase,
    LocateDriversRequest,
    LocateDriversResponse,
    NearestDriversRequest,
    NearestDriversResponse,
)
from gofleet.domain.driver import AreaQuery, Driver, Position, PositionBatchResult
from gofleet.domain.errors import FleetUnavailable, Invalid, Unavailable
from gofleet.domain.place import BoundingBox, Place
from tests.makers import CENTRE, a_position, on_the_map
from tests.roles.stock import StockClient, WilfulPositions, a_client, serving, status

HOST = "127.0.0.1"
HERE = {"lat": CENTRE.lat, "lng": CENTRE.lng}
TOWN = BoundingBox(-46.7, -23.6, -46.6, -23.5)
BOX = {"min_lng": TOWN.min_lng, "min_lat": TOWN.min_lat, "max_lng": TOWN.max_lng, "max_lat": TOWN.max_lat}


@pytest.fixture
async def positions() -> WilfulPositions:
    positions = WilfulPositions()
    await on_the_map(positions, [a_position("ana", metres_north=100), a_position("bia", metres_north=900)])
    await on_the_map(positions, [a_position("cai", metres_north=2000)])
    await positions.occupy("bia", "o-1", 2)
    await positions.register(Driver("cai", "Cai", on_duty=False))
    return positions


@pytest.fixture
async def client(positions: WilfulPositions) -> AsyncGenerator[StockClient]:
    async with a_client(positions) as client:
        yield client


@pytest.fixture
async def fleet(positions: WilfulPositions) -> AsyncGenerator[GrpcFleet]:
    async with serving(positions) as port, GrpcFleet(HOST, port, timeout_seconds=5) as fleet:
        yield fleet


async def test_nearest_drivers_are_returned_in_columns(client: StockClient) -> None:
    answer = await client.call("NearestDrivers", **HERE)

    assert list(answer.driver_ids) == list(answer.names) == ["ana", "bia"]
    assert list(answer.free) == [True, False]
    assert list(answer.busy) == [False, True]
    assert list(answer.distances_m) == [pytest.approx(100, abs=1), pytest.approx(900, abs=1)]
    assert list(answer.lngs) == [CENTRE.lng, CENTRE.lng]
    assert len(answer.lats) == 2
    assert all(abs(at_ms - time.time() * 1000) < 60_000 for at_ms in answer.seen_at_ms)
    assert list((await client.call("NearestDrivers", **HERE, limit=1)).driver_ids) == ["ana"]
    assert list((await client.call("NearestDrivers", **HERE, radius_km=0.5)).driver_ids) == ["ana"]
    assert list((await client.call("NearestDrivers", lat=1, lng=1)).driver_ids) == []


async def test_drivers_in_a_box_are_returned_in_columns(client: StockClient) -> None:
    answer = await client.call("FindDrivers", **BOX)

    assert list(answer.driver_ids) == ["cai", "bia", "ana"] or list(answer.driver_ids) == ["ana", "bia", "cai"]
    columns = (answer.free, answer.on_duty, answer.busy)
    shown = dict(zip(answer.driver_ids, zip(*columns, strict=True), strict=True))
    assert shown == {"ana": (True, True, False), "bia": (False, True, True), "cai": (False, False, False)}
    assert (answer.truncated, answer.HasField("total")) == (False, False)
    assert list((await client.call("FindDrivers", **BOX, free=True)).driver_ids) == ["ana"]
    assert list((await client.call("FindDrivers", **BOX, on_duty=False)).names) == ["Cai"]
    fewer = await client.call("FindDrivers", **BOX, limit=2, count=True)
    assert (len(fewer.driver_ids), fewer.truncated, fewer.total) == (2, True, 3)
    assert len((await client.call("FindDrivers", **BOX, limit=4_000_000_000)).driver_ids) == 3


async def test_known_drivers_are_located(client: StockClient) -> None:
    answer = await client.call("LocateDrivers", driver_ids=["cai", "nobody", "ana", "cai"])

    assert list(answer.driver_ids) == ["cai", "ana"]
    assert list(answer.on_duty) == [False, True]
    assert list((await client.call("LocateDrivers")).driver_ids) == []


@pytest.mark.parametrize(
    ("rpc", "wrong", "field"),
    [
        ("NearestDrivers", {}, "place"),
        ("NearestDrivers", {"lat": 91.0, "lng": 1.0}, "place.lat"),
        ("NearestDrivers", {"lat": 1.0, "lng": float("nan")}, "place.lng"),
        ("NearestDrivers", {**HERE, "radius_km": -1.0}, "radius_km"),
        ("NearestDrivers", {**HERE, "radius_km": 51.0}, "radius_km"),
        ("NearestDrivers", {**HERE, "radius_km": float("nan")}, "radius_km"),
        ("FindDrivers", {}, "box"),
        ("FindDrivers", {**BOX, "max_lng": -47.0}, "box"),
        ("FindDrivers", {**BOX, "min_lng": 179.0, "max_lng": -179.0}, "box"),
        ("FindDrivers", {**BOX, "min_lat": TOWN.max_lat}, "box"),
        ("FindDrivers", {**BOX, "max_lat": 90.1}, "box"),
        ("FindDrivers", {**BOX, "min_lng": float("-inf")}, "box"),
        ("FindDrivers", {**BOX, "min_lat": float("nan")}, "box"),
        ("LocateDrivers", {"driver_ids": ["a b"]}, "driver_ids"),
        ("LocateDrivers", {"driver_ids": [""]}, "driver_ids"),
        ("LocateDrivers", {"driver_ids": ["a"] * 501}, "driver_ids"),
        ("RegisterDriver", {"driver_id": "positions", "name": "A word"}, "id"),
        ("UpdatePosition", {"driver_id": "positions", **HERE}, "driver_id"),
    ],
)
async def test_an_invalid_request_is_refused(
    client: StockClient, rpc: str, wrong: dict[str, object], field: str
) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        await client.call(rpc, **wrong)

    code, details = status(failure)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith(f"{field} ")


async def test_our_client_returns_what_the_service_returns(fleet: GrpcFleet, positions: WilfulPositions) -> None:
    ana, bia = await fleet.nearest(CENTRE, 5, 5)
    assert (ana.position.driver_id, ana.name, ana.free, ana.on_duty) == ("ana", "ana", True, True)
    assert (bia.free, bia.distance_m) == (False, pytest.approx(900, abs=1))

    found = await fleet.within(AreaQuery(TOWN, free=False, on_duty=False, count=True))
    [cai] = found.sightings
    assert (found.truncated, found.total, cai.state, bia.state) == (False, 1, "off_duty", "busy")
    assert (await fleet.within(AreaQuery(TOWN, limit=1))).truncated
    [located] = await fleet.locate(["cai", "nobody"])
    assert (cai.position, cai.name, cai.on_duty, cai.free) == (located.position, "Cai", False, False)
    [known] = await positions.locate(["cai"])
    assert cai.position.place == known.position.place
    assert abs((cai.position.recorded_at - known.position.recorded_at).total_seconds()) < 0.001


async def test_many_positions_are_moved_at_once_and_counted(fleet: GrpcFleet) -> None:
    now = a_position("dora")
    batch = [now, a_position("ana", age_seconds=5), Position("eva", Place(0, 0), now.recorded_at)]

    assert await fleet.update_positions(batch) == PositionBatchResult(accepted=1, older=1, refused=1)
    assert await fleet.update_positions([]) == PositionBatchResult(0, 0, 0)
    with pytest.raises(Invalid):
        await fleet.update_positions([now] * 1001)


async def test_what_the_service_refuses_is_invalid(fleet: GrpcFleet) -> None:
    for question in (
        fleet.nearest(CENTRE, 51, 5),
        fleet.within(AreaQuery(BoundingBox(1, 1, 1, 1))),
        fleet.locate(["a b"]),
    ):
        with pytest.raises(Invalid):
            await question


@pytest.mark.parametrize("failure", [Unavailable("redis", "away"), ZeroDivisionError()])
async def test_a_failing_service_is_unavailable(
    fleet: GrpcFleet, positions: WilfulPositions, failure: Exception
) -> None:
    positions.failure = failure

    for question in (
        fleet.nearest(CENTRE, 5, 5),
        fleet.within(AreaQuery(TOWN)),
        fleet.locate(["ana"]),
        fleet.update_positions([a_position("ana")]),
    ):
        with pytest.raises(FleetUnavailable):
            await question


class MalformedFleet(FleetServiceBase):
    """A fleet service with malformed responses."""

    def __init__(self, **columns: list[object]) -> None:
        self._columns = columns

    async def nearest_drivers(self, nearest_drivers_request: NearestDriversRequest) -> NearestDriversResponse:
        columns = {name: column for name, column in self._columns.items() if name not in {"recorded_at_ms", "on_duty"}}
        return NearestDriversResponse(
            **columns,  # pyright: ignore[reportArgumentType]
            distances_m=[1.0] * len(self._columns["names"]),
            seen_at_ms=self._columns["recorded_at_ms"],  # pyright: ignore[reportArgumentType]
        )

    async def find_drivers(self, find_drivers_request: FindDriversRequest) -> FindDriversResponse:
        return FindDriversResponse(**self._columns)  # pyright: ignore[reportArgumentType]

    async def locate_drivers(self, locate_drivers_request: LocateDriversRequest) -> LocateDriversResponse:
        return LocateDriversResponse(**self._columns)  # pyright: ignore[reportArgumentType]


SANE: dict[str, list[object]] = {
    "driver_ids": ["ana"],
    "names": ["Ana"],
    "lats": [1.0],
    "lngs": [1.0],
    "recorded_at_ms": [1],
    "free": [True],
    "on_duty": [True],
    "busy": [False],
}


async def test_an_older_service_sends_no_busy_column(unused_tcp_port: int) -> None:
    server = Server([MalformedFleet(**{**SANE, "busy": []})])
    await server.start(HOST, unused_tcp_port)
    try:
        async with GrpcFleet(HOST, unused_tcp_port, timeout_seconds=5) as fleet:
            [ana] = (await fleet.within(AreaQuery(TOWN, count=True))).sightings
            assert (ana.state, (await fleet.within(AreaQuery(TOWN, count=True))).total) == ("free", None)
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    "wrong",
    [
        {"driver_ids": ["not an id"]},
        {"driver_ids": []},
        {"lats": [float("nan")]},
        {"lngs": [1.0, 2.0]},
        {"free": []},
        {"busy": [True, False]},
        {"recorded_at_ms": [2**63 - 1]},
    ],
)
async def test_a_malformed_response_is_unavailable(wrong: dict[str, list[object]], unused_tcp_port: int) -> None:
    server = Server([MalformedFleet(**{**SANE, **wrong})])
    await server.start(HOST, unused_tcp_port)
    try:
        async with GrpcFleet(HOST, unused_tcp_port, timeout_seconds=5) as fleet:
            for question in (fleet.nearest(CENTRE, 5, 5), fleet.within(AreaQuery(TOWN)), fleet.locate(["ana"])):
                with pytest.raises(FleetUnavailable):
                    await question
    finally:
        server.close()
        await server.wait_closed()
