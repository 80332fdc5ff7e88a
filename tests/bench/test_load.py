"""The generator measures what customers would feel, and miscounts nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count

from tests.bench.connections import Connection
from tests.bench.load import Load, NewOrders, request, send, sent
from tests.bench.outcomes import Outcome

Write = Callable[[int, asyncio.StreamWriter], Awaitable[None]]
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def a_server(write: Write) -> AsyncGenerator[int]:
    """Its port; `write` answers the request that came as the nth, from 0."""
    requests = count()
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]))
                await write(next(requests), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.wait([task for task in serving if task])  # the clients are gone


async def created(_: int, writer: asyncio.StreamWriter) -> None:
    writer.write(CREATED)


async def test_a_closed_loop_sends_each_number_once() -> None:
    async with a_server(created) as port:
        outcome = await sent(Load(NewOrders("a-"), (port, port), 4, 30, first=5, most=40))

    assert sorted(outcome.numbers) == list(range(5, 45))
    assert outcome.counts == {201: 40}
    assert outcome.accepted == 40
    assert outcome.rate > 0


async def test_it_sends_from_a_process_of_its_own() -> None:
    async with a_server(created) as port:
        outcome = await send(Load(NewOrders("a-"), (port,), 2, 30, most=10))

    assert outcome.counts == {201: 10}
    assert outcome.cpu_seconds > 0


async def test_an_open_loop_hides_no_queue() -> None:
    """While the server sleeps, requests become due; each has waited since then, and not since it was sent."""
    awake = 0.0

    async def sleepy(number: int, writer: asyncio.StreamWriter) -> None:
        nonlocal awake
        if number == 0:
            await asyncio.sleep(0.3)
            awake = time.time()
        writer.write(CREATED)

    async with a_server(sleepy) as port:
        outcome = await sent(Load(NewOrders("a-"), (port,), 1, 0.2, rate=100))

    assert outcome.numbers == list(range(20))
    for due, took in zip(outcome.due, outcome.took, strict=True):
        assert due + took >= awake
        assert due < outcome.ended


async def test_what_is_sent_to_warm_up_is_not_measured() -> None:
    async def refused_at_first(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Later\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n" if number < 5 else CREATED)

    async with a_server(refused_at_first) as port:
        outcome = await sent(Load(NewOrders("a-"), (port,), 1, 0.1, rate=100, warm_seconds=0.1))

    assert outcome.counts == {503: 5, 201: 15}
    assert round(outcome.rate * 0.1) <= 10
    assert outcome.unexplained == 0


async def test_a_rejection_without_retry_after_is_counted() -> None:
    async def refused(number: int, writer: asyncio.StreamWriter) -> None:
        more = b"" if number else b"retry-after: 3\r\n"
        writer.write(b"HTTP/1.1 429 Too Many\r\n" + more + b"content-length: 0\r\n\r\n")

    async with a_server(refused) as port:
        outcome = await sent(Load(NewOrders("a-"), (port,), 1, 30, most=3))

    assert outcome.unexplained == 2


async def test_a_broken_connection_is_counted_and_opened_again() -> None:
    async def broken(number: int, writer: asyncio.StreamWriter) -> None:
        if number % 2:
            writer.write(CREATED)
        else:
            writer.close()

    async with a_server(broken) as port:
        closed = await sent(Load(NewOrders("a-"), (port,), 1, 30, most=10))
        open_ = await sent(Load(NewOrders("a-"), (port,), 1, 0.1, rate=100))

    assert closed.counts == open_.counts == {0: 5, 201: 5}


async def test_an_answer_may_come_in_pieces() -> None:
    async def slowly(_: int, writer: asyncio.StreamWriter) -> None:
        for byte in CREATED:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async with a_server(slowly) as port:
        connection = await Connection.to(port)
        answers = [await connection.ask(request("POST", "/", "{}")) for _ in range(2)]
        connection.close()

    assert [(answer.status, answer.body) for answer in answers] == [(201, b"{}")] * 2


def test_latency_of_accepted_requests_only() -> None:
    outcome = Outcome(began=10.0, ended=20.0)
    for due, took, status in ((9.0, 9.0, 201), (10.0, 0.002, 201), (11.0, 0.001, 503), (12.0, 0.004, 201)):
        outcome.note(0, due, due + took, status, b"")

    assert round(outcome.milliseconds(50)) == 2
    assert round(outcome.milliseconds(50, accepted=True)) == 2
    assert round(outcome.milliseconds(1)) == 1
    assert round(outcome.milliseconds(1, accepted=True)) == 2
    assert round(outcome.milliseconds(100)) == 4
    assert outcome.rate == 3 / 10  # the one from the warm-up was answered within the measured time
