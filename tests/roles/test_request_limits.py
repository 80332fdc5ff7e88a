"""Time limits of request bodies, which share one timer."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gofleet.adapters.http.asgi import Message
from gofleet.adapters.http.request_limits import BodyDeadlines, BodyTooSlow, LimitedBody

POST = {"type": "http", "headers": [(b"content-length", b"100")]}


def body(deadlines: BodyDeadlines, receive: Callable[[], Awaitable[Message]]) -> LimitedBody:
    return LimitedBody(POST, receive, deadlines=deadlines)


async def whole() -> Message:
    return {"type": "http.request", "body": b"x", "more_body": False}


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


def dribbling(seconds: float) -> Callable[[], Awaitable[Message]]:
    """An endless body with a piece every few seconds."""

    async def pieces() -> AsyncIterator[Message]:
        while True:
            await asyncio.sleep(seconds)
            yield {"type": "http.request", "body": b"x", "more_body": True}

    return pieces().__anext__


async def everything(one: LimitedBody) -> int:
    count = 1
    while (await one()).get("more_body"):
        count += 1
    return count


async def test_each_body_has_its_own_deadline() -> None:
    deadlines = BodyDeadlines(0.1)
    async with asyncio.timeout(5):
        first = asyncio.create_task(everything(body(deadlines, never)))
        assert await everything(body(deadlines, whole)) == 1
        await asyncio.sleep(0.05)
        began = asyncio.get_running_loop().time()
        second = asyncio.create_task(everything(body(deadlines, dribbling(0.01))))
        with pytest.raises(BodyTooSlow):
            await first
        with pytest.raises(BodyTooSlow):
            await second
        assert asyncio.get_running_loop().time() - began >= 0.1  # not with the first
        with pytest.raises(BodyTooSlow):
            await everything(body(deadlines, never))  # after a time without any waiting body
    assert first.cancelling() == second.cancelling() == 0


async def test_a_deadline_passed_between_two_pieces_is_raised_at_the_next() -> None:
    deadlines = BodyDeadlines(0.02)
    one = body(deadlines, dribbling(0))
    await one()
    await asyncio.sleep(0.05)

    with pytest.raises(BodyTooSlow):
        await one()


async def test_a_cancellation_by_another_task_is_kept() -> None:
    deadlines = BodyDeadlines(0.05)
    waiting = asyncio.create_task(everything(body(deadlines, never)))
    await asyncio.sleep(0)
    waiting.cancel()

    await asyncio.wait({waiting}, timeout=5)
    assert waiting.cancelled()


async def test_a_finished_body_leaves_nothing_behind() -> None:
    deadlines = BodyDeadlines(60)
    complete, cancelled = body(deadlines, whole), body(deadlines, never)
    await everything(complete)
    waiting = asyncio.create_task(everything(cancelled))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting}, timeout=5)
    kept = [weakref.ref(complete), weakref.ref(cancelled)]
    del complete, cancelled, waiting
    gc.collect()

    assert [one() for one in kept] == [None, None]


async def pieces(*sizes: int) -> AsyncIterator[Message]:
    for size in sizes:
        yield {"type": "http.request", "body": b"x" * size, "more_body": True}


async def test_a_body_is_complete_at_its_declared_length() -> None:
    completed = list[bool]()
    one = LimitedBody(
        POST, pieces(60, 40).__anext__, deadlines=BodyDeadlines(5), on_complete=lambda: completed.append(True)
    )

    assert [(await one())["more_body"], list(completed)] == [True, []]
    assert [(await one())["more_body"], completed] == [False, [True]]


async def test_a_body_with_a_transfer_coding_ends_where_the_server_says() -> None:
    """The declared length does not count then (RFC 9112, 6.3)."""
    scope = {"type": "http", "headers": [*POST["headers"], (b"transfer-encoding", b"chunked")]}
    one = LimitedBody(scope, pieces(0, 100, 1).__anext__, deadlines=BodyDeadlines(5))

    assert [(await one())["more_body"] for _ in range(3)] == [True, True, True]


async def test_an_empty_piece_does_not_end_a_body_of_unknown_length() -> None:
    scope = {"type": "http", "headers": [(b"transfer-encoding", b"chunked")]}
    one = LimitedBody(scope, pieces(0, 5).__anext__, deadlines=BodyDeadlines(5))

    assert [(await one())["more_body"] for _ in range(2)] == [True, True]
