"""Searches that share a call succeed, fail, are traced and time out as if each had its own."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import grpc
import pytest
from grpclib import GRPCError, Status
from grpclib.events import RecvRequest, listen
from grpclib.server import Server

from gofleet.adapters.grpc import client as fleet_client
from gofleet.adapters.grpc import connection
from gofleet.adapters.grpc.client import GrpcFleet
from gofleet.adapters.grpc.columns import SEARCHES_MAX
from gofleet.adapters.grpc.connection import UNANSWERED_MAX
from gofleet.adapters.grpc.pb import (
    FleetServiceBase,
    SearchDriverRequest,
    SearchDriverResponse,
    SearchDriversRequest,
    SearchDriversResponse,
)
from gofleet.adapters.redis.connection import redis_client
from gofleet.adapters.redis.positions import RedisPositions
from gofleet.domain.driver import Candidate
from gofleet.domain.errors import FleetUnavailable, Invalid, Unavailable
from gofleet.domain.place import Place
from gofleet.embedded import Valkey
from gofleet.ports import Search
from gofleet.telemetry.exporting import exporting
from gofleet.telemetry.metrics import GRPC_SECONDS
from gofleet.telemetry.tracing import ORDER_ID, set_order_id, span
from tests.makers import CENTRE, a_position, on_the_map
from tests.otlp import collecting
from tests.roles.stock import StockClient, WilfulPositions, a_client, serving, status
from tests.waiting import eventually

HOST = "127.0.0.1"
TOGETHER = {
    "order_ids": ["o-1", "o-2"],
    "pickup_lats": [CENTRE.lat, CENTRE.lat],
    "pickup_lngs": [CENTRE.lng, CENTRE.lng],
}


@pytest.fixture
async def positions() -> WilfulPositions:
    positions = WilfulPositions()
    await on_the_map(positions, [a_position("ana", metres_north=100), a_position("bia", metres_north=900)])
    positions.entered.clear()
    return positions


@pytest.fixture
async def client(positions: WilfulPositions) -> AsyncGenerator[StockClient]:
    async with a_client(positions) as client:
        yield client


def a_search(number: int, **values: object) -> Search:
    return Search(**{"order_id": f"o-{number}", "pickup": CENTRE, "radius_km": 5.0, **values})  # pyright: ignore[reportArgumentType]


def calls_of(method: str) -> float:
    """Made so far, however they ended."""
    found = [sample for metric in GRPC_SECONDS.collect() for sample in metric.samples]
    return sum(one.value for one in found if one.name.endswith("seconds_count") and one.labels["method"] == method)


async def test_concurrent_searches_share_a_call_and_are_counted_individually(positions: WilfulPositions) -> None:
    await on_the_map(positions, [a_position(f"d-{number}") for number in range(10)])
    before = calls_of("StreamSearches"), calls_of("SearchDriver")
    async with serving(positions) as port, GrpcFleet(HOST, port, timeout_seconds=5) as fleet:
        answers = await asyncio.gather(*(fleet.search(a_search(number)) for number in range(10)))

    assert len({candidates[0].driver_id for candidates in answers}) == 10
    assert (calls_of("StreamSearches"), calls_of("SearchDriver")) == (before[0] + 1, before[1] + 10)


async def test_searches_one_after_another_share_a_stream(positions: WilfulPositions) -> None:
    before = calls_of("StreamSearches"), calls_of("SearchDriver")
    async with serving(positions) as port, GrpcFleet(HOST, port, timeout_seconds=5) as fleet:
        for number in range(5):
            await fleet.search(a_search(number % 2))

    assert (calls_of("StreamSearches"), calls_of("SearchDriver")) == (before[0] + 1, before[1] + 5)


async def test_a_stream_that_ended_while_it_was_idle_is_replaced(positions: WilfulPositions) -> None:
    """By a restart of the service, whose new process the first search reaches."""
    async with serving(positions) as port:
        fleet = GrpcFleet(HOST, port, timeout_seconds=5)
        assert await fleet.search(a_search(1))
    async with serving(positions, port=port):
        assert await fleet.search(a_search(1))
        fleet.close()


async def test_a_search_that_takes_too_long_ends_its_stream_and_the_work(positions: WilfulPositions) -> None:
    async with serving(positions) as port, GrpcFleet(HOST, port, timeout_seconds=0.3) as fleet:
        assert await fleet.search(a_search(1))
        positions.gate.clear()
        with pytest.raises(FleetUnavailable):
            await fleet.search(a_search(2))
        await asyncio.wait_for(positions.cancelled.wait(), 5)
        positions.gate.set()
        assert await fleet.search(a_search(2))


async def test_a_stopping_service_answers_what_it_has_read_of_a_stream(positions: WilfulPositions) -> None:
    async with serving(positions, grace_seconds=5) as port:
        fleet = GrpcFleet(HOST, port, timeout_seconds=5)
        assert await fleet.search(a_search(1))  # this stream is idle when the service stops
        positions.gate.clear()
        searching = [asyncio.create_task(fleet.search(a_search(1))) for _ in range(2)]
        positions.entered.clear()
        await positions.entered.wait()
        asyncio.get_running_loop().call_later(0.2, positions.gate.set)

    assert all(await asyncio.gather(*searching))
    fleet.close()


async def test_no_two_orders_of_a_batch_get_the_same_driver(valkey_server: Valkey) -> None:
    address = valkey_server.address
    async with redis_client(address.host, address.port, password=address.password, timeout_seconds=5) as redis:
        positions = RedisPositions(redis, prefix=f"t-{uuid4().hex}:", stale_seconds=60, claim_ms=10_000)
        await on_the_map(positions, [a_position(f"d-{number}", metres_north=number) for number in range(100)])
        async with serving(positions) as port, GrpcFleet(HOST, port, timeout_seconds=10) as fleet:
            answers = await asyncio.gather(*(fleet.search(a_search(number)) for number in range(100)))

    assert len({candidates[0].driver_id for candidates in answers}) == 100


async def test_each_search_of_a_batch_gets_its_own_result(positions: WilfulPositions) -> None:
    far = Place(CENTRE.lat + 0.2, CENTRE.lng)
    await on_the_map(positions, [a_position("far", metres_north=0.2 * 111_195)])
    async with serving(positions) as port, GrpcFleet(HOST, port, timeout_seconds=5) as fleet:
        answers = await asyncio.gather(
            fleet.search(a_search(1, exclude=("ana",))),
            fleet.search(a_search(2, pickup=Place(91, 0))),
            fleet.search(a_search(3, exclude=("ana", "bia"))),
            fleet.search(a_search(4, pickup=far, radius_km=1.0)),
            fleet.search(a_search(5, radius_km=51.0)),
            fleet.search(a_search(6, radius_km=50.0, limit=1, exclude=("bia", "far"))),
            return_exceptions=True,
        )

    def ids(answer: list[Candidate] | BaseException) -> list[str]:
        assert isinstance(answer, list)
        return [candidate.driver_id for candidate in answer]

    bia, refused, none_left, there, too_far, ana = answers
    assert [ids(bia), ids(none_left), ids(there), ids(ana)] == [["bia"], [], ["far"], ["ana"]]
    assert isinstance(refused, Invalid)
    assert (refused.field, refused.why) == ("pickup.lat", "must be between -85.05 and 85.05")
    assert isinstance(too_far, Invalid)
    assert too_far.field == "radius_km"


@pytest.mark.parametrize("failure", [Unavailable("redis", "away"), ZeroDivisionError()])
async def test_a_failing_service_is_unavailable_for_each(positions: WilfulPositions, failure: Exception) -> None:
    positions.failure = failure
    async with serving(positions) as port, GrpcFleet(HOST, port, timeout_seconds=5) as fleet:
        answers = await asyncio.gather(*(fleet.search(a_search(n)) for n in range(3)), return_exceptions=True)

    assert [type(answer) for answer in answers] == [FleetUnavailable] * 3


async def test_each_search_belongs_to_its_own_trace_on_both_sides(positions: WilfulPositions) -> None:
    traces = [f"{number:032x}" for number in range(1, 4)]

    async def order(trace_id: str) -> None:
        with span("process", traceparent=f"00-{trace_id}-00f067aa0ba902b7-01"):
            set_order_id(f"o-{int(trace_id, 16)}")
            await fleet.search(a_search(int(trace_id, 16)))

    with collecting() as collector:
        async with (
            exporting("test", collector.endpoint),
            serving(positions) as port,
            GrpcFleet(HOST, port, timeout_seconds=5) as fleet,
        ):
            await asyncio.gather(*(order(trace_id) for trace_id in traces))
        spans = collector.spans()

    assert len(spans) == 3 * len(traces), "and the call itself belongs to none of them"
    for trace_id in traces:
        by_kind = {one.kind: one for one in spans if one.trace_id == trace_id}
        work, sent, answered = by_kind["INTERNAL"], by_kind["CLIENT"], by_kind["SERVER"]
        assert {sent.name, answered.name} == {"pb.FleetService/SearchDriver"}
        assert (sent.parent_id, answered.parent_id) == (work.span_id, sent.span_id)
        assert {one.attributes[ORDER_ID] for one in by_kind.values()} == {f"o-{int(trace_id, 16)}"}
    assert {one.attributes["rpc.grpc.status_code"] for one in spans if one.kind != "INTERNAL"} == {0, 5}


async def test_a_search_behind_a_hung_call_ends_at_its_own_deadline(
    positions: WilfulPositions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "UNANSWERED_MAX", 1000)  # otherwise all would end with the connection
    positions.gate.clear()
    timeout_seconds, searches_before = 1.0, len(positions.trace_ids)

    def arrived(searches: int) -> Callable[[], bool]:
        return lambda: len(positions.trace_ids) - searches_before == searches

    async with (
        serving(positions, grace_seconds=0) as port,
        GrpcFleet(HOST, port, timeout_seconds=timeout_seconds) as fleet,
    ):
        hanging = [asyncio.create_task(two(fleet))]
        await eventually(arrived(2))
        hanging.append(asyncio.create_task(two(fleet)))
        await eventually(arrived(4))
        began = time.monotonic()
        answers = await two(fleet)  # these wait, because the number of concurrent calls is bounded
        waited_seconds = time.monotonic() - began
        await asyncio.gather(*hanging)

    assert [type(answer) for answer in answers] == [FleetUnavailable] * 2
    assert waited_seconds < 1.5 * timeout_seconds


async def test_a_batch_without_a_response_counts_for_each_caller() -> None:
    connections: list[asyncio.StreamReader] = []

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(reader)
        while await reader.read(1024):
            pass
        writer.close()

    server = await asyncio.start_server(mute, HOST, 0)
    async with server, GrpcFleet(HOST, server.sockets[0].getsockname()[1], timeout_seconds=0.1) as fleet:
        for _ in range(2):
            await asyncio.gather(*(fleet.search(a_search(n)) for n in range(UNANSWERED_MAX)), return_exceptions=True)

    assert len(connections) == 2, "the first one counts as dead"


async def test_cancelling_one_search_of_a_batch_affects_no_other(positions: WilfulPositions) -> None:
    positions.gate.clear()
    async with serving(positions) as port, GrpcFleet(HOST, port, timeout_seconds=5) as fleet:
        stays, leaves = (asyncio.create_task(fleet.search(a_search(number))) for number in (1, 2))
        await positions.entered.wait()
        leaves.cancel()
        positions.gate.set()

        assert (await stays)[0].driver_id == "ana"
        with pytest.raises(asyncio.CancelledError):
            await leaves


class Older(FleetServiceBase):
    """A fleet service without streams of searches; records the orders of single ones."""

    def __init__(self) -> None:
        self.orders: list[str] = []

    async def search_driver(self, search_driver_request: SearchDriverRequest) -> SearchDriverResponse:
        self.orders.append(search_driver_request.order_id)
        return SearchDriverResponse(driver_id="ana", name="Ana", lat=CENTRE.lat, lng=CENTRE.lng)


class ScriptedFleet(Older):
    """A fleet service with a configured response to batches."""

    def __init__(self, answer: SearchDriversResponse | GRPCError) -> None:
        super().__init__()
        self._answer = answer

    async def stream_searches(
        self, search_drivers_request_iterator: AsyncIterator[SearchDriversRequest]
    ) -> AsyncIterator[SearchDriversResponse]:
        async for _ in search_drivers_request_iterator:
            if isinstance(self._answer, GRPCError):
                raise self._answer
            yield self._answer


@asynccontextmanager
async def answering(service: FleetServiceBase) -> AsyncGenerator[tuple[GrpcFleet, list[str]]]:
    """A client of `service`, and the calls made."""
    made: list[str] = []

    async def note(request: RecvRequest) -> None:
        made.append(request.method_name.rpartition("/")[2])

    server = Server([service])
    listen(server, RecvRequest, note)
    with socket.create_server((HOST, 0)) as listening:
        await server.start(sock=listening)
        async with GrpcFleet(HOST, listening.getsockname()[1], timeout_seconds=5) as fleet:
            yield fleet, made
        server.close()
        await server.wait_closed()


async def two(fleet: GrpcFleet) -> list[list[Candidate] | BaseException]:
    return list(await asyncio.gather(fleet.search(a_search(1)), fleet.search(a_search(2)), return_exceptions=True))


async def test_an_older_service_gets_single_searches_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    older = Older()
    async with answering(older) as (fleet, made):
        for _ in range(3):
            assert [one[0].driver_id for one in await two(fleet) if isinstance(one, list)] == ["ana", "ana"]
        assert sorted(made) == ["SearchDriver"] * 6 + ["StreamSearches"]
        assert sorted(older.orders) == ["o-1"] * 3 + ["o-2"] * 3

    monkeypatch.setattr(fleet_client, "SINGLE_SEARCHES_SECONDS", 0.0)
    async with answering(older) as (fleet, made):
        await two(fleet)
        await two(fleet)
        assert made.count("StreamSearches") == 2  # the service may have been updated meanwhile


@pytest.mark.parametrize("status", [Status.INVALID_ARGUMENT, Status.RESOURCE_EXHAUSTED])
async def test_a_refused_batch_is_repeated_as_single_searches(status: Status) -> None:
    async with answering(ScriptedFleet(GRPCError(status, "searches must be at most 1"))) as (fleet, made):
        assert [type(one) for one in await two(fleet)] == [list, list]
        await two(fleet)
        assert made.count("StreamSearches") == 2


@pytest.mark.parametrize("failure", [Status.UNAVAILABLE, Status.INTERNAL, Status.UNKNOWN, Status.CANCELLED])
async def test_a_failed_batch_is_not_repeated(failure: Status) -> None:
    async with answering(ScriptedFleet(GRPCError(failure, "no"))) as (fleet, made):
        assert [type(one) for one in await two(fleet)] == [FleetUnavailable, FleetUnavailable]
        assert made == ["StreamSearches"]


def an_answer(**values: object) -> SearchDriversResponse:
    """A driver for each of two searches."""
    columns: dict[str, object] = {
        "statuses": [0, 0],
        "messages": ["", ""],
        "counts": [1, 1],
        "driver_ids": ["ana", "bia"],
        "names": ["Ana", "Bia"],
        "lats": [CENTRE.lat] * 2,
        "lngs": [CENTRE.lng] * 2,
        "distances_m": [1.0, 2.0],
    }
    return SearchDriversResponse(**(columns | values))  # pyright: ignore[reportArgumentType]


async def test_a_valid_batch_response_is_decoded() -> None:
    async with answering(ScriptedFleet(an_answer())) as (fleet, _):
        assert [one[0].driver_id for one in await two(fleet) if isinstance(one, list)] == ["ana", "bia"]


@pytest.mark.parametrize(
    "invalid",
    [
        {"statuses": [0]},
        {"statuses": [0, 0, 0], "messages": [""] * 3, "counts": [1, 1, 0]},
        {"messages": []},
        {"counts": [1]},
        {"counts": [1, 2]},
        {"counts": [2**32 - 1, 3]},
        {"names": ["Ana"]},
        {"lats": []},
    ],
)
async def test_invalid_columns_are_unavailable_for_all(invalid: dict[str, object]) -> None:
    async with answering(ScriptedFleet(an_answer(**invalid))) as (fleet, _):
        assert [type(one) for one in await two(fleet)] == [FleetUnavailable, FleetUnavailable]


@pytest.mark.parametrize(
    "invalid",
    [
        {"driver_ids": ["ana", "no id"]},
        {"lats": [CENTRE.lat, float("nan")]},
        {"distances_m": [1.0, -1.0]},
        {"counts": [2, 0]},
        {"statuses": [0, 99]},
        {"statuses": [0, Status.UNAVAILABLE.value]},
    ],
)
async def test_one_invalid_entry_is_unavailable_for_one(invalid: dict[str, object]) -> None:
    async with answering(ScriptedFleet(an_answer(**invalid))) as (fleet, _):
        assert [type(one) for one in await two(fleet)] == [list, FleetUnavailable]


async def test_the_service_returns_each_result_in_columns(client: StockClient) -> None:
    answer = await client.call(
        "SearchDrivers",
        order_ids=["o-1", "o-2", "o 3", "o-4"],
        pickup_lats=[CENTRE.lat] * 4,
        pickup_lngs=[CENTRE.lng] * 4,
        exclude_counts=[0, 2, 0, 1],
        excluded=["ana", "bia", "ana"],
    )

    assert list(answer.statuses) == [0, Status.NOT_FOUND.value, Status.INVALID_ARGUMENT.value, 0]
    assert list(answer.messages)[:2] == ["", "no free driver within 5 km of order o-2"]
    assert answer.messages[2].startswith("order_id ")
    assert list(answer.counts) == [2, 0, 0, 1]
    assert list(answer.driver_ids) == list(answer.names) == ["ana", "bia", "bia"]
    assert list(answer.distances_m) == [pytest.approx(metres, abs=1) for metres in (100, 900, 900)]
    assert len(answer.lats) == len(answer.lngs) == 3
    assert answer.claim_expires_in_ms == 10_000


async def test_an_empty_batch_has_an_empty_response(client: StockClient) -> None:
    assert list((await client.call("SearchDrivers")).statuses) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"pickup_lats": [1.0]},
        {"pickup_lngs": []},
        {"radii_km": [5.0]},
        {"limits": [5, 5, 5]},
        {"exclude_counts": [1]},
        {"exclude_counts": [1, 0]},
        {"excluded": ["ana"]},
        {"exclude_counts": [2**32 - 1, 1], "excluded": ["ana"]},
        {"traceparents": [""]},
        {name: [value[0]] * (SEARCHES_MAX + 1) for name, value in TOGETHER.items()},
    ],
)
async def test_an_invalid_batch_is_refused_as_a_whole(
    client: StockClient, positions: WilfulPositions, wrong: dict[str, object]
) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        await client.call("SearchDrivers", **{**TOGETHER, **wrong})

    code, details = status(failure)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith("searches ")
    assert not positions.entered.is_set()


async def test_the_largest_batch_is_answered(client: StockClient) -> None:
    answer = await client.call("SearchDrivers", **{name: [value[0]] * SEARCHES_MAX for name, value in TOGETHER.items()})

    assert list(answer.statuses) == [0] * SEARCHES_MAX


async def test_a_stopping_service_is_unavailable_for_a_whole_batch(positions: WilfulPositions) -> None:
    positions.gate.clear()
    async with serving(positions, grace_seconds=0) as port:
        fleet = GrpcFleet(HOST, port, timeout_seconds=5)
        searches = asyncio.create_task(two(fleet))
        await positions.entered.wait()

    answers = await searches
    fleet.close()
    assert [str(answer) for answer in answers] == ["the fleet service is unavailable: UNAVAILABLE: stopping"] * 2
