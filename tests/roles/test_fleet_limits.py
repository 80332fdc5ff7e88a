"""Limits of the fleet service: message sizes and deadlines; and calls by reflection alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator

import grpc
import pytest
from grpclib import Status
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RemoteSettingsChanged

from gofleet.adapters.grpc.statuses import STATUSES
from gofleet.adapters.redis.connection import redis_client
from gofleet.adapters.redis.positions import RedisPositions
from gofleet.domain.driver import Candidate
from gofleet.domain.errors import DeadlineExceeded, FleetBreakerOpen, GoFleetError, StaleOrder, UnknownDriver
from gofleet.embedded import Valkey
from gofleet.ports import Search
from tests.makers import CENTRE, a_position, on_the_map
from tests.roles.stock import OURS, StockClient, WilfulPositions, a_client, raw_call, serving, status
from tests.waiting import eventually

BYTES_MAX = 200_000
SEARCH = b"\x0a\x03o-1"
"""A SearchDriverRequest for o-1."""
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


def padded(message: bytes, size: int) -> bytes:
    """`message` with an unknown field, `size` bytes in all."""
    length = size - len(message) - 5
    return message + bytes([0x7A, *((length >> 7 * n) & 0x7F | 0x80 for n in range(3)), length >> 21]) + bytes(length)


@pytest.fixture
async def positions() -> WilfulPositions:
    positions = WilfulPositions()
    await on_the_map(positions, [a_position("ana", metres_north=100)])
    return positions


@pytest.fixture
async def client(positions: WilfulPositions) -> AsyncGenerator[StockClient]:
    async with a_client(positions, most_bytes=BYTES_MAX) as client:
        yield client


async def test_a_message_may_be_as_large_as_allowed_and_no_larger(client: StockClient) -> None:
    assert b"ana" in await client.send("SearchDriver", padded(SEARCH, BYTES_MAX))

    for size in (BYTES_MAX + 1, 3_000_000):
        with pytest.raises(grpc.RpcError) as failure:
            await client.send("SearchDriver", padded(SEARCH, size))
        assert status(failure) == (grpc.StatusCode.RESOURCE_EXHAUSTED, f"a message may have at most {BYTES_MAX} bytes")

    assert (await client.call("SearchDriver", order_id="o-1")).driver_id == "ana"


async def test_what_came_before_a_large_message_in_a_stream_is_kept(
    client: StockClient, positions: WilfulPositions
) -> None:
    batch: dict[str, object] = {"driver_ids": ["cai"], "lats": [1.0], "lngs": [1.0], "recorded_at_ms": [0]}

    with pytest.raises(grpc.RpcError) as failure:
        await client.stream("StreamPositions", [batch, {"driver_ids": ["x" * BYTES_MAX]}])

    assert status(failure)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(await positions.locate(["cai"])) == 1


@pytest.mark.parametrize("path", ["/pb.FleetService/SearchDriver", "/pb.FleetService/StreamPositions", REFLECTION])
async def test_a_huge_message_is_refused_by_its_length_alone(positions: WilfulPositions, path: str) -> None:
    async with serving(positions) as port:
        answer = await raw_call(port, path, b"\0\xff\xff\xff\xffab", complete=False)

    assert answer == Status.RESOURCE_EXHAUSTED.value


async def test_no_more_than_64_kib_of_a_call_are_taken_in_before_they_are_read(positions: WilfulPositions) -> None:
    http2 = H2Connection(H2Configuration(client_side=True))
    async with serving(positions) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        http2.initiate_connection()
        writer.write(http2.data_to_send())
        async with asyncio.timeout(5):
            while not any(isinstance(e, RemoteSettingsChanged) for e in http2.receive_data(await reader.read(65_536))):
                pass
        writer.close()

    assert http2.remote_settings.initial_window_size == 65_535


class WatchedPositions(RedisPositions):
    """Records whether a search was cancelled."""

    cancelled = False

    async def claim_nearest(self, search: Search) -> list[Candidate]:
        try:
            return await super().claim_nearest(search)
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def test_a_deadline_while_redis_is_frozen_ends_the_work_and_affects_no_later_call() -> None:
    valkey = Valkey(durable=False)
    await valkey.start()
    try:
        async with redis_client(
            "127.0.0.1", valkey.address.port, password=valkey.address.password, timeout_seconds=30
        ) as redis:
            positions = WatchedPositions(redis, prefix="t:", stale_seconds=600, claim_ms=60_000)
            await on_the_map(positions, [a_position(f"d-{number}", metres_north=number) for number in range(1, 11)])
            async with serving(positions) as port:
                client = StockClient(port, OURS)
                with client.channel:
                    os.kill(valkey.pids[0], signal.SIGSTOP)
                    client.seconds = 0.3
                    with pytest.raises(grpc.RpcError) as failure:
                        await client.call("SearchDriver", order_id="o-1")
                    assert status(failure)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
                    assert await eventually(lambda: positions.cancelled)

                    os.kill(valkey.pids[0], signal.SIGCONT)
                    client.seconds = 10.0
                    order_ids = [f"d-{number}" for number in range(1, 11)]
                    answers = await asyncio.gather(
                        *(client.call("LocateDrivers", driver_ids=[one]) for one in order_ids)
                    )
                    assert [list(answer.driver_ids) for answer in answers] == [[one] for one in order_ids]
    finally:
        os.kill(valkey.pids[0], signal.SIGCONT)
        await valkey.stop()


def every_error(kind: type[GoFleetError] = GoFleetError) -> set[type[GoFleetError]]:
    return {kind}.union(*(every_error(child) for child in kind.__subclasses__()))


def test_every_error_of_the_domain_has_a_status() -> None:
    def ours(error: type[GoFleetError]) -> bool:
        return error.__module__ == "gofleet.domain.errors"

    lacking = {error for error in filter(ours, every_error()) if not STATUSES.keys() & set(error.__mro__)}

    assert lacking == {GoFleetError}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownDriver("ana"), grpc.StatusCode.INVALID_ARGUMENT),
        (StaleOrder("o-1", 2), grpc.StatusCode.ABORTED),
        (DeadlineExceeded(1), grpc.StatusCode.DEADLINE_EXCEEDED),
        (FleetBreakerOpen(1), grpc.StatusCode.UNAVAILABLE),
        (GoFleetError("unexpected"), grpc.StatusCode.INTERNAL),
    ],
)
async def test_errors_are_translated_as_in_the_table(
    client: StockClient, positions: WilfulPositions, error: GoFleetError, code: grpc.StatusCode
) -> None:
    positions.failure = error

    with pytest.raises(grpc.RpcError) as failure:
        await client.call("SearchDriver", order_id="o-1")

    assert status(failure)[0] is code


HERE = {"lat": CENTRE.lat, "lng": CENTRE.lng}
EXAMPLES: dict[str, object] = {
    "grpc.health.v1.Health/Check": {"service": "pb.FleetService"},
    "pb.FleetService/FindDrivers": {"minLng": -46.7, "minLat": -23.6, "maxLng": -46.6, "maxLat": -23.5, "free": True},
    "pb.FleetService/LocateDrivers": {"driverIds": ["ana", "nobody"]},
    "pb.FleetService/NearestDrivers": {**HERE, "radiusKm": 5, "limit": 3},
    "pb.FleetService/RegisterDriver": {"driverId": "ana", "name": "Ana"},
    "pb.FleetService/SearchDriver": {"orderId": "o-1"},
    "pb.FleetService/SearchDrivers": {"orderIds": ["o-1"], "pickupLats": [CENTRE.lat], "pickupLngs": [CENTRE.lng]},
    "pb.FleetService/StreamPositions": {"driverIds": ["bia"], "lats": [1.5], "lngs": [2.5], "recordedAtMs": ["0"]},
    "pb.FleetService/StreamSearches": {"orderIds": ["o-1"], "pickupLats": [CENTRE.lat], "pickupLngs": [CENTRE.lng]},
    "pb.FleetService/UpdatePosition": {"driverId": "cai", "lat": 1.5, "lng": 2.5},
}
GRPCURL = """
import json, sys, grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

examples, output = json.loads(sys.argv[2]), {}
with grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}") as channel:
    database = ProtoReflectionDescriptorDatabase(channel)
    pool = DescriptorPool(database)
    for service in database.get_services():
        for method in pool.FindServiceByName(service).methods:
            assert all(field.name for kind in (method.input_type, method.output_type) for field in kind.fields)
            name = f"{service}/{method.name}"
            if name not in examples:
                output[name] = None
                continue
            request = ParseDict(examples[name], GetMessageClass(method.input_type)())
            answer = GetMessageClass(method.output_type).FromString
            if method.server_streaming:
                stream = channel.stream_stream(f"/{name}", lambda message: message.SerializeToString(), answer)
                call = lambda requests, timeout: next(stream(requests, timeout=timeout))
                request = iter([request])
            elif method.client_streaming:
                call = channel.stream_unary(f"/{name}", lambda message: message.SerializeToString(), answer)
                request = iter([request])
            else:
                call = channel.unary_unary(f"/{name}", lambda message: message.SerializeToString(), answer)
            output[name] = MessageToDict(call(request, timeout=5), always_print_fields_with_no_presence=True)
print(json.dumps(output))
"""


async def test_every_call_can_be_made_from_reflection_alone(positions: WilfulPositions) -> None:
    async with serving(positions) as port:
        # In a separate process: grpclib and grpcio-reflection both register the same descriptors.
        arguments = (sys.executable, "-c", GRPCURL, str(port), json.dumps(EXAMPLES))
        walk = await asyncio.create_subprocess_exec(*arguments, stdout=subprocess.PIPE)
        output, _ = await walk.communicate()

    answers = json.loads(output)
    assert answers.keys() - EXAMPLES.keys() == {"grpc.health.v1.Health/Watch"}
    assert answers["grpc.health.v1.Health/Check"] == {"status": "SERVING"}
    assert answers["pb.FleetService/FindDrivers"]["driverIds"] == ["ana"]
    assert answers["pb.FleetService/LocateDrivers"]["onDuty"] == [True]
    [metres] = answers["pb.FleetService/NearestDrivers"]["distancesM"]
    assert metres == pytest.approx(100, abs=1)
    assert answers["pb.FleetService/RegisterDriver"] == {}
    assert answers["pb.FleetService/SearchDriver"]["driverId"] == "ana"
    assert answers["pb.FleetService/SearchDrivers"]["driverIds"] == ["ana"]
    assert answers["pb.FleetService/StreamPositions"] == {
        "accepted": "1",
        "older": "0",
        "refused": "0",
        "unregistered": [],
    }
    assert answers["pb.FleetService/StreamSearches"]["driverIds"] == ["ana"]
    assert answers["pb.FleetService/UpdatePosition"] == {"applied": True}


async def test_a_service_without_reflection_does_not_describe_itself(positions: WilfulPositions) -> None:
    for reflection, answer in ((True, Status.OK), (False, Status.UNIMPLEMENTED)):
        async with serving(positions, reflection=reflection) as port:
            assert await raw_call(port, REFLECTION, b"\0\0\0\0\2\x3a\0") == answer.value
