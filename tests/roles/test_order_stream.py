"""The stream of orders and the history of an order, over memory ports and the real server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import httpx
import pytest
from prometheus_client import REGISTRY

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.routes import events
from gofleet.adapters.http.server import serving
from gofleet.adapters.http.sse import EventStreamLimits
from gofleet.domain.errors import Unavailable
from gofleet.domain.history import HistoryCursor, HistoryFilter, HistoryPage
from gofleet.domain.order import Order
from gofleet.testing.orders import MemoryHistory
from tests.makers import an_order, dispatch_to
from tests.roles.conftest import World
from tests.roles.listener import STREAM, Listener, listening_to
from tests.roles.test_api import slug
from tests.waiting import eventually

ORDERS = "/api/v1/orders"


async def make_transitions(world: World, order_id: str, *verbs: Callable[..., None]) -> None:
    """Create the order unless it exists, and apply the transitions."""
    if order_id not in world.orders.rows:
        await world.orders.add(an_order(order_id))
    for verb in verbs:
        order = await world.orders.get(order_id)
        verb(order, by="client")
        await world.save(order)


def open_streams() -> float:
    return REGISTRY.get_sample_value("gofleet_open_streams") or 0


@asynccontextmanager
async def an_api(world: World, **options: float) -> AsyncGenerator[httpx.AsyncClient]:
    """The API over `world`, whose limits may have been changed before."""
    stop = asyncio.Event()
    feed_task = asyncio.create_task(world.feed.run(stop))
    async with serving(api_app(world.api()), "127.0.0.1", 0, grace_seconds=20, **options) as server:  # pyright: ignore[reportArgumentType]
        async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
            yield client
        world.stopping.set()
    stop.set()
    await feed_task


async def test_shows_the_history_of_an_order(client: httpx.AsyncClient) -> None:
    await client.post(
        ORDERS, json={"id": "o-1", "price": 1, "tax": 0}, headers={"traceparent": f"00-{7:032x}-{1:016x}-01"}
    )
    await client.post(f"{ORDERS}/o-1/cancel")

    answer = await client.get(f"{ORDERS}/o-1/events")

    created, cancelled = answer.json()["items"]
    assert created.pop("at") < cancelled.pop("at")
    assert created == {
        "order_id": "o-1",
        "client_order_id": None,
        "sequence": 1,
        "type": "orders.created",
        "status": "PENDING",
        "driver_id": None,
        "reason": None,
        "actor": "client",
        "trace_id": f"{7:032x}",
    }
    assert (cancelled["sequence"], cancelled["type"], cancelled["status"]) == (2, "orders.cancelled", "CANCELLED")


async def test_does_not_find_the_history_of_an_unknown_order(client: httpx.AsyncClient) -> None:
    assert slug(await client.get(f"{ORDERS}/o-1/events")) == "no-such-order"
    assert slug(await client.get(f"{ORDERS}/o 1/events")) == "invalid"


async def test_a_stream_opens_at_once_and_sends_the_events_of_the_history(
    client: httpx.AsyncClient, world: World
) -> None:
    await make_transitions(world, "before")
    async with listening_to(client) as stream:
        assert stream.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.answer.headers["cache-control"] == "no-store"
        assert stream.retry == 2000
        await make_transitions(world, "o-1", dispatch_to("ana"))

        events = await stream.events(2)

    timeline = (await client.get(f"{ORDERS}/o-1/events")).json()["items"]
    assert [data for _, data in events] == timeline
    assert [type for type, _ in events] == [item["type"] for item in timeline]


async def test_filters_a_stream(client: httpx.AsyncClient, world: World) -> None:
    ends = ["orders.cancelled", "orders.delivered"]
    async with (
        listening_to(client, order_id="o-1") as first,
        listening_to(client, type=ends) as ended,
        listening_to(client, order_id="o-1", type="orders.delivered") as both,
    ):
        await make_transitions(world, "o-2", Order.cancel)
        await make_transitions(world, "o-1", dispatch_to("ana"), Order.deliver)

        assert await first.summaries(3) == ["o-1 created", "o-1 dispatched", "o-1 delivered"]
        assert await ended.summaries(2) == ["o-2 cancelled", "o-1 delivered"]
        assert await both.summaries(1) == ["o-1 delivered"]


@pytest.mark.parametrize("way", ["header", "query"])
async def test_a_stream_resumes_after_the_last_event_id(client: httpx.AsyncClient, world: World, way: str) -> None:
    async with listening_to(client) as stream:
        await make_transitions(world, "o-1", dispatch_to("ana"))
        assert await stream.summaries(1) == ["o-1 created"]
        last_id = stream.last_id
    assert last_id
    await make_transitions(world, "o-1", Order.deliver)
    query = {
        "last_event_id": last_id if way == "query" else "nonsense"
    }  # a browser repeats its URL and adds the header

    async with listening_to(client, last_id=last_id if way == "header" else None, **query) as stream:
        assert await stream.summaries(2) == ["o-1 dispatched", "o-1 delivered"]
        await make_transitions(world, "o-2")
        assert await stream.summaries(1) == ["o-2 created"]


async def test_a_client_disconnected_before_the_first_event_misses_nothing(
    client: httpx.AsyncClient, world: World
) -> None:
    async with listening_to(client) as stream:
        pass
    await make_transitions(world, "o-1")

    async with listening_to(client, last_id=stream.last_id) as stream:
        assert await stream.summaries(1) == ["o-1 created"]


async def test_a_resumed_stream_reads_the_history_in_pages_and_continues_live(
    client: httpx.AsyncClient, world: World
) -> None:
    """More entries than a page (10) and than the window in memory (100)."""
    async with listening_to(client) as stream:
        pass
    for number in range(70):
        await make_transitions(world, f"o-{number}", Order.cancel)
    expected = [f"o-{number} {what}" for number in range(90) for what in ("created", "cancelled")]

    async with listening_to(client, last_id=stream.last_id) as stream:
        received = await stream.summaries(5)
        for number in range(70, 90):
            await make_transitions(world, f"o-{number}", Order.cancel)
        received += await stream.summaries(len(expected) - 5)

    assert received == expected


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"order_id": "o 1"}, "order_id"),
        ({"type": "orders.lost"}, "type"),
        ({"bbox": "1,2,3"}, "bbox"),
        ({"bbox": "1,2,nan,4"}, "bbox"),
        ({"bbox": "3,2,1,4"}, "bbox"),
        ({"bbox": "1,2,3,91"}, "bbox"),
    ],
)
async def test_rejects_a_stream_with_invalid_parameters(
    client: httpx.AsyncClient, query: dict[str, str], parameter: str
) -> None:
    answer = await client.get(STREAM, params=query)

    assert (answer.status_code, slug(answer)) == (422, "invalid")
    assert [fault["parameter"] for fault in answer.json()["errors"]] == [parameter]


@pytest.mark.parametrize("last_id", ["nonsense", "a b", "QDEuMQ" * 30, "QDk5OTk5OTk5OS4x", "-", "0"])
@pytest.mark.parametrize("way", ["header", "query"])
async def test_an_unknown_last_event_id_resets_the_stream(
    client: httpx.AsyncClient, world: World, last_id: str, way: str
) -> None:
    """QDk5OTk5OTk5OS4x is well-formed, but of another history."""
    await make_transitions(world, "before")
    query = {"last_event_id": last_id} if way == "query" else {}

    async with listening_to(
        client, last_id=last_id if way == "header" else None, type="orders.created", **query
    ) as stream:
        assert stream.answer.status_code == 200
        assert await stream.event() == ("reset", {})
        resumed_from = stream.last_id
        await make_transitions(world, "o-1")
        assert await stream.summaries(1) == ["o-1 created"]
    async with listening_to(client, last_id=resumed_from) as stream:
        assert await stream.summaries(1) == ["o-1 created"]  # the id of the opening is known


async def test_a_head_request_of_a_stream_ends_at_once(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(5):
        answer = await client.head(STREAM)

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    await eventually(lambda: open_streams() == 0)


async def test_rejects_stream_as_an_order_id(client: httpx.AsyncClient, world: World) -> None:
    answer = await client.post(ORDERS, json={"id": "stream", "price": 1, "tax": 0})

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/id")
    assert world.orders.rows == {}


async def test_sends_keep_alives_with_a_current_id_while_there_are_no_events(world: World) -> None:
    world.bounds = EventStreamLimits(keep_alive_seconds=0.05)
    async with an_api(world) as client, listening_to(client, order_id="o-1") as stream:
        began = stream.last_id
        await make_transitions(world, "o-2")

        async def id_advanced() -> bool:
            assert await stream.comment() == "still here"
            return stream.last_id != began

        await eventually(id_advanced)


async def test_measures_a_stream_as_a_request_only_until_it_opens(client: httpx.AsyncClient, world: World) -> None:
    def measured(what: str) -> float:
        labels = {"method": "GET", "route": STREAM, "status": "200"}
        return REGISTRY.get_sample_value(f"gofleet_http_request_duration_seconds_{what}", labels) or 0

    count, total, before = measured("count"), measured("sum"), open_streams()
    async with listening_to(client) as stream:
        assert open_streams() == before + 1
        await asyncio.sleep(1)
        await make_transitions(world, "o-1")
        await stream.event()
    await eventually(lambda: open_streams() == before)

    assert await eventually(lambda: measured("count") == count + 1)
    assert measured("sum") - total < 1


async def test_limits_the_number_of_open_streams(world: World) -> None:
    world.bounds = EventStreamLimits(streams_max=2, keep_alive_seconds=15)
    async with an_api(world) as client, listening_to(client):
        async with listening_to(client):
            answer = await client.get(STREAM)

            assert (answer.status_code, slug(answer)) == (503, "too-many-streams")
            assert answer.headers["retry-after"] == "15"
            assert (await client.get(ORDERS)).status_code == 200

        async def a_stream_opens() -> bool:
            async with client.stream("GET", STREAM) as answer:
                return answer.status_code == 200

        await eventually(a_stream_opens)


async def test_all_streams_end_when_the_process_stops(client: httpx.AsyncClient, world: World) -> None:
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(listening_to(client)) for _ in range(3)]
        world.stopping.set()
        for stream in streams:
            await stream.end()

    assert all(stream.ended for stream in streams)


async def test_streams_survive_an_outage_of_the_database(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, tried = MemoryHistory.after, asyncio.Event()

    async def unavailable(
        self: MemoryHistory, cursor: HistoryCursor, criteria: HistoryFilter, limit: int
    ) -> HistoryPage:
        tried.set()
        raise Unavailable("PostgreSQL", "no connection")

    async with listening_to(client) as stream:
        await make_transitions(world, "o-1")
        assert await stream.summaries(1) == ["o-1 created"]
        monkeypatch.setattr(MemoryHistory, "after", unavailable)
        await make_transitions(world, "o-2")
        await tried.wait()
        monkeypatch.setattr(MemoryHistory, "after", read)

        assert await stream.summaries(1) == ["o-2 created"]


async def test_reads_the_history_only_while_a_stream_is_open(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, reads = MemoryHistory.after, 0

    async def counted(self: MemoryHistory, cursor: HistoryCursor, criteria: HistoryFilter, limit: int) -> HistoryPage:
        nonlocal reads
        reads += 1
        return await read(self, cursor, criteria, limit)

    monkeypatch.setattr(MemoryHistory, "after", counted)
    before = open_streams()
    await asyncio.sleep(0.1)
    assert reads == 0
    async with listening_to(client):
        await eventually(lambda: reads > 3)
    await eventually(lambda: open_streams() == before)
    await asyncio.sleep(0.1)  # reads in flight
    at_rest = reads
    await asyncio.sleep(0.2)

    assert reads == at_rest


@contextmanager
def unread_stream(client: httpx.AsyncClient) -> Generator[socket.socket]:
    """The connection of a client that requests the stream and reads nothing."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", client.base_url.port))
        connection.sendall(f"GET {STREAM} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        yield connection


async def test_disconnects_a_client_that_does_not_read_without_delaying_others(world: World) -> None:
    """Unread data fills the buffers of the system first; then `send` blocks and the stream gives up."""
    world.bounds = EventStreamLimits(send_seconds=0.5)
    before = open_streams()
    async with an_api(world, send_buffer_bytes=8192, unread_seconds=60) as client, listening_to(client) as attentive:
        with unread_stream(client):
            await eventually(lambda: open_streams() == before + 2)
            received = number = 0
            while open_streams() == before + 2:
                for _ in range(50):
                    await make_transitions(world, f"o-{number}", Order.cancel)
                    number += 1
                received += len(await attentive.summaries(100))
                assert number < 4_000, "more is buffered for the client than allowed"
            assert received == 2 * number
            assert open_streams() == before + 1


async def test_discards_the_send_buffer_of_a_client_that_does_not_read(world: World) -> None:
    """Otherwise the connection would delay the end of the process by the whole grace period."""
    world.bounds = EventStreamLimits(send_seconds=60)
    before, loop = open_streams(), asyncio.get_running_loop()
    async with an_api(world, send_buffer_bytes=8192, unread_seconds=1) as client, listening_to(client) as attentive:
        with unread_stream(client) as connection:
            await eventually(lambda: open_streams() == before + 2)
            for number in range(1000):
                await make_transitions(world, f"o-{number}")
            await attentive.summaries(1000)

            await eventually(lambda: open_streams() == before + 1)
            assert not _established(connection)
        world.stopping.set()
        await attentive.end()
        began = loop.time()

    assert loop.time() - began < 10  # the grace period is 20 s


def _established(client: socket.socket) -> bool:
    """Whether the server's end of the connection exists, by /proc/net/tcp (number, local, remote, state)."""
    ours = f":{client.getsockname()[1]:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:  # noqa: PTH123
        return any(line.split()[2].endswith(ours) and line.split()[3] == "01" for line in table.readlines()[1:])


async def test_a_history_says_whether_later_entries_are_missing(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_transitions(world, "o-1", dispatch_to("ana"), Order.deliver)
    whole = (await client.get(f"{ORDERS}/o-1/events")).json()
    assert whole["truncated"] is False
    monkeypatch.setattr(events, "EVENTS_MAX", len(whole["items"]))
    assert (await client.get(f"{ORDERS}/o-1/events")).json() == whole
    monkeypatch.setattr(events, "EVENTS_MAX", 2)

    cut = (await client.get(f"{ORDERS}/o-1/events")).json()

    assert cut == {"items": whole["items"][:2], "truncated": True}


async def test_streams_each_change_of_a_position_in_a_box_once(client: httpx.AsyncClient, world: World) -> None:
    world.drivers_at(ana=(1.5, 1.5), bia=(1.6, 1.6), far=(50, 50))
    async with listening_to(client, bbox="1,1,2,2") as stream:
        first = await stream.events(2)
        world.drivers_at(bia=(1.7, 1.6))
        second = await stream.event()
        await make_transitions(world, "o-1")
        third = await stream.event()

    assert [(type, data["driver_id"]) for type, data in first] == [("driver.moved", "ana"), ("driver.moved", "bia")]
    assert second == (
        "driver.moved",
        {"driver_id": "bia", "lat": 1.7, "lng": 1.6, "free": True, "state": "free"}
        | {"recorded_at": second[1]["recorded_at"]},
    )
    assert third[0] == "orders.created"
    assert stream.last_id is not None


async def test_tells_which_drivers_have_left_the_box(client: httpx.AsyncClient, world: World) -> None:
    world.drivers_at(ana=(1.5, 1.5), bia=(1.6, 1.6))
    async with listening_to(client, bbox="1,1,2,2") as stream, listening_to(client, bbox="1,1,2,2") as other:
        await stream.events(2)
        await other.events(2)
        world.drivers_at(ana=(5, 5))  # drives away
        assert await stream.event() == ("driver.gone", {"driver_id": "ana"})
        del world.moving.drivers["bia"]  # its position has expired
        assert await stream.event() == ("driver.gone", {"driver_id": "bia"})
        assert await other.events(2) == [("driver.gone", {"driver_id": "ana"}), ("driver.gone", {"driver_id": "bia"})]

        world.drivers_at(cai=(1.7, 1.7))
        async with listening_to(client, bbox="1,1,2,2") as late:  # knows nothing of the others
            assert (await late.event())[1]["driver_id"] == "cai"
        world.drivers_at(ana=(1.5, 1.5))
        assert [data["driver_id"] for _, data in await stream.events(2)] == ["cai", "ana"]


async def test_tells_whether_the_box_has_more_drivers(client: httpx.AsyncClient, world: World) -> None:
    world.drivers_at(ana=(1.5, 1.5))
    world.moving.truncated = True
    async with listening_to(client, bbox="1,1,2,2") as stream:
        assert (await stream.event())[0] == "driver.moved"
        assert await stream.event() == ("drivers.truncated", {"truncated": True})
        world.moving.truncated = False
        assert await stream.event() == ("drivers.truncated", {"truncated": False})


async def test_an_outage_of_the_fleet_is_no_departure(client: httpx.AsyncClient, world: World) -> None:
    world.drivers_at(ana=(1.5, 1.5))
    async with listening_to(client, bbox="1,1,2,2") as stream:
        await stream.event()
        world.moving.away = True
        looks = world.moving.looks
        await eventually(lambda: world.moving.looks > looks + 2)
        world.moving.away = False
        world.drivers_at(ana=(1.6, 1.6))
        assert (await stream.event())[0] == "driver.moved"


async def test_streams_of_the_same_box_share_its_queries(client: httpx.AsyncClient, world: World) -> None:
    world.drivers_at(ana=(1.5, 1.5))
    streams: list[Listener] = []
    async with AsyncExitStack() as stack:
        for _ in range(10):
            streams.append(await stack.enter_async_context(listening_to(client, bbox="1,1,2,2")))
            assert (await streams[-1].event())[1]["driver_id"] == "ana"
        looks, moves = world.moving.looks, 20
        for number in range(moves):
            world.drivers_at(ana=(1.5 + number / 100, 1.6))
            for stream in streams:
                await stream.event()
        queries = world.moving.looks - looks

    assert queries < moves * len(streams) / 2


async def test_streams_survive_an_outage_of_the_fleet(client: httpx.AsyncClient, world: World) -> None:
    world.moving.away = True
    world.drivers_at(ana=(1.5, 1.5))
    async with listening_to(client, bbox="1,1,2,2") as stream:
        await eventually(lambda: world.moving.looks > 2)
        await make_transitions(world, "o-1")
        assert await stream.summaries(1) == ["o-1 created"]
        world.moving.away = False

        assert (await stream.event())[0] == "driver.moved"


async def test_documents_the_stream(client: httpx.AsyncClient) -> None:
    document = (await client.get("/api/v1/openapi.json")).json()
    answers = document["paths"][STREAM]["get"]["responses"]

    assert list(answers["200"]["content"]) == ["text/event-stream"]
    assert answers["200"]["content"]["text/event-stream"]["x-item-schema"]["$ref"].endswith("/EventView")
