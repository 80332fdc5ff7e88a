"""Start and graceful stop of the HTTP server."""

from __future__ import annotations

import asyncio
import inspect
import socket
import time

import httpx
import pytest

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.asgi import Receive, Scope, Send, respond
from gofleet.adapters.http.server import Listening, PortInUse, serving
from gofleet.domain.order import Order
from gofleet.settings.load import load
from tests.roles.conftest import World
from tests.roles.raw import exchange
from tests.waiting import eventually


class Gate:
    """An application that reports a request and responds when the test allows it."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            self.entered.set()
            await self.opened.wait()
        await respond(send, 200, "text/plain", b"done")


async def refuses(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])  # noqa: S104  everywhere is what is tested
async def test_the_first_request_of_the_block_is_answered(host: str) -> None:
    async with serving(Gate(), host, 0) as listening, httpx.AsyncClient() as client:
        assert (await client.get(listening.url)).text == "done"


async def test_a_port_of_another_program_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"127.0.0.1 port {port}"):
            async with serving(Gate(), "127.0.0.1", port):
                pytest.fail("must not start")


async def test_two_servers_never_share_a_port() -> None:
    async with serving(Gate(), "127.0.0.1", 0) as first:
        with pytest.raises(PortInUse):
            async with serving(Gate(), "127.0.0.1", first.port):
                pytest.fail("must not start")


async def test_the_port_is_free_after_the_block() -> None:
    async with serving(Gate(), "127.0.0.1", 0) as first, httpx.AsyncClient() as client:
        await client.get(first.url)
    assert await refuses(first.port)
    assert first.ended.done()
    async with serving(Gate(), "127.0.0.1", first.port) as again:
        assert again.port == first.port


async def test_a_failing_block_closes_the_server_too() -> None:
    port = 0
    with pytest.raises(ZeroDivisionError):
        async with serving(Gate(), "127.0.0.1", 0) as listening:
            port = listening.port
            raise ZeroDivisionError
    assert await refuses(port)


async def test_a_request_in_flight_is_finished_while_new_ones_are_refused() -> None:
    gate, stop = Gate(), asyncio.Event()
    opened: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()

    async def serve() -> None:
        async with serving(gate, "127.0.0.1", 0, grace_seconds=20) as listening:
            opened.set_result(listening)
            await stop.wait()

    server = asyncio.create_task(serve())
    listening = await opened
    async with httpx.AsyncClient() as client:
        request = asyncio.create_task(client.get(listening.url + "/wait"))
        await gate.entered.wait()
        stop.set()
        await eventually(lambda: refuses(listening.port))
        assert not server.done()
        gate.opened.set()
        answer = await request
    await server

    assert (answer.status_code, answer.text) == (200, "done")


async def test_a_request_beyond_the_grace_period_is_unavailable(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    entered = asyncio.Event()

    async def hang(order: Order) -> bool:
        entered.set()
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(world.orders, "add", hang)
    async with httpx.AsyncClient(timeout=10) as client:
        async with serving(api_app(world.api()), "127.0.0.1", 0, grace_seconds=0.2) as listening:
            order = {"price": 1, "tax": 0}
            request = asyncio.create_task(client.post(listening.url + "/api/v1/orders", json=order))
            await entered.wait()
            started = time.monotonic()
        assert 0.2 <= time.monotonic() - started < 5
        answer = await request

    assert answer.status_code == 503
    assert (answer.headers["content-type"], answer.headers["retry-after"]) == ("application/problem+json", "1")


async def test_idle_connections_do_not_delay_the_stop() -> None:
    async with httpx.AsyncClient() as client:
        async with serving(Gate(), "127.0.0.1", 0, grace_seconds=20) as listening:
            await client.get(listening.url)
            reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
            started = time.monotonic()
        assert time.monotonic() - started < 2
    assert await reader.read() == b""
    writer.close()


async def test_an_incomplete_header_delays_the_stop_at_most_by_the_grace_period() -> None:
    async with serving(Gate(), "127.0.0.1", 0, keep_alive_seconds=5, grace_seconds=0.3) as listening:
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(b"GET / HTTP/1.1\r\nHo")
        await writer.drain()
        started = time.monotonic()
    assert time.monotonic() - started < 3  # not until the time for a header has passed
    assert await reader.read() == b""
    writer.close()


async def test_a_slow_header_times_out() -> None:
    async with serving(Gate(), "127.0.0.1", 0, keep_alive_seconds=0.2) as listening:
        assert await exchange(listening.port, b"GET / HTTP/1.1\r\nHo") == b""


async def test_an_idle_connection_is_kept_for_the_keep_alive_time() -> None:
    async with serving(Gate(), "127.0.0.1", 0, keep_alive_seconds=0.5) as listening:
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"done")
        idle_since = time.monotonic()
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        assert time.monotonic() - idle_since >= 0.4
        writer.close()


def test_clients_and_proxies_close_idle_connections_first() -> None:
    assert inspect.signature(serving).parameters["keep_alive_seconds"].default >= 75
    assert load({}, dotenv=None).web.keep_alive_seconds >= 75


async def test_giant_headers_are_refused() -> None:
    async with serving(Gate(), "127.0.0.1", 0) as listening:
        head = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n"
        answer = await exchange(listening.port, head)

    assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))


async def test_idle_connections_do_not_block_new_ones() -> None:
    async with (
        serving(Gate(), "127.0.0.1", 0, connections_max=500) as listening,
        httpx.AsyncClient(timeout=2) as client,
    ):
        idle = [await asyncio.open_connection(listening.host, listening.port) for _ in range(300)]
        try:
            assert (await client.get(listening.url)).text == "done"
        finally:
            for _, writer in idle:
                writer.close()


async def test_connections_beyond_the_limit_wait() -> None:
    async with serving(Gate(), "127.0.0.1", 0, connections_max=3) as listening, httpx.AsyncClient(timeout=1) as client:
        idle = [await asyncio.open_connection(listening.host, listening.port) for _ in range(4)]
        with pytest.raises(httpx.ReadTimeout):
            await client.get(listening.url)
        for _, writer in idle:
            writer.close()

        async def answered() -> bool:
            return (await client.get(listening.url)).text == "done"

        await eventually(answered)
