"""Parts and roles of a process: start, drain and close."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from gofleet.process import Part, Process, repeat, restarting
from gofleet.settings import load
from tests.telemetry.moved import moved
from tests.waiting import eventually


def a_process() -> Process:
    return Process(load({"GRACE_SECONDS": "0.2"}, dotenv=None), ["test"])


class Log(list[str]):
    """Parts opened and closed, in order."""

    def part(self, name: str, *needs: Part[None]) -> Part[None]:
        @asynccontextmanager
        async def opened(process: Process) -> AsyncGenerator[None]:
            for need in needs:
                await process.use(need)
            self.append(f"+{name}")
            yield
            self.append(f"-{name}")

        opened.__name__ = name
        return opened


async def test_parts_open_once_and_close_in_reverse() -> None:
    diary, process = Log(), a_process()
    database = diary.part("database")
    roles = [diary.part("fleet", database), diary.part("api", database)]
    running = asyncio.create_task(process.run(roles))
    await eventually(lambda: "+api" in diary)

    process.stopping.set()
    await running

    assert diary == ["+database", "+fleet", "+api", "-api", "-fleet", "-database"]


async def test_sigterm_closes_in_order() -> None:
    diary, process = Log(), a_process()
    started = asyncio.Event()

    @asynccontextmanager
    async def role(process: Process) -> AsyncGenerator[None]:
        await process.use(diary.part("database"))
        started.set()
        yield
        diary.append("-role")

    running = asyncio.create_task(process.run([role]))
    await started.wait()

    os.kill(os.getpid(), signal.SIGTERM)
    await running

    assert diary == ["+database", "-role", "-database"]


async def test_a_second_sigterm_does_not_wait() -> None:
    process, closing = a_process(), asyncio.Event()

    @asynccontextmanager
    async def slow(_: Process) -> AsyncGenerator[None]:
        yield
        closing.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(process.run([slow]))
    await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    await closing.wait()
    os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(asyncio.CancelledError):
        await running


async def test_sigterm_ends_a_role_that_waits_for_its_servers() -> None:
    process = a_process()

    @asynccontextmanager
    async def waiting(_: Process) -> AsyncGenerator[None]:
        await asyncio.Event().wait()
        yield

    running = asyncio.create_task(process.run([waiting]))
    await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)

    async with asyncio.timeout(2):
        await running


async def test_a_circle_of_parts_is_an_error_with_their_names() -> None:
    process = a_process()

    @asynccontextmanager
    async def first(process: Process) -> AsyncGenerator[None]:
        await process.use(second)
        yield

    @asynccontextmanager
    async def second(process: Process) -> AsyncGenerator[None]:
        await process.use(first)
        yield

    with pytest.raises(RuntimeError, match="first -> second -> first"):
        await process.use(first)


async def test_an_error_of_work_ends_the_process() -> None:
    process = a_process()

    async def fail(_: asyncio.Event) -> None:
        raise ConnectionError("the consumer died")

    @asynccontextmanager
    async def role(process: Process) -> AsyncGenerator[None]:
        async with process.keeping(fail):
            yield

    with pytest.raises(ExceptionGroup) as failed:
        await process.run([role])

    assert failed.group_contains(ConnectionError, match="the consumer died")


async def test_an_error_of_restarting_work_is_counted_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gofleet.process.RESTART_SECONDS", 0.01)
    process, calls = a_process(), list[int]()

    async def fails_twice(stop: asyncio.Event) -> None:
        calls.append(len(calls))
        if len(calls) < 3:
            raise ZeroDivisionError
        await stop.wait()

    @asynccontextmanager
    async def role(process: Process) -> AsyncGenerator[None]:
        async with process.keeping(restarting("sums", fails_twice)):
            yield

    with moved("gofleet_background_errors_total", up=2, work="sums"):
        running = asyncio.create_task(process.run([role]))
        await eventually(lambda: len(calls) == 3)
        process.stopping.set()
        await running


async def test_work_that_ends_early_is_an_error() -> None:
    process = a_process()

    async def end(_: asyncio.Event) -> None:
        return

    @asynccontextmanager
    async def role(process: Process) -> AsyncGenerator[None]:
        async with process.keeping(end):
            yield

    with pytest.raises(ExceptionGroup) as failed:
        await process.run([role])

    assert failed.group_contains(RuntimeError, match="ended by itself")


async def test_work_is_cancelled_after_its_grace_period() -> None:
    process, cancelled = a_process(), asyncio.Event()

    async def stubborn(_: asyncio.Event) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with process.keeping(stubborn):
        await asyncio.sleep(0)

    assert cancelled.is_set()


async def test_ready_when_every_role_has_started() -> None:
    process, go_on = a_process(), asyncio.Event()

    @asynccontextmanager
    async def slow(_: Process) -> AsyncGenerator[None]:
        await go_on.wait()
        yield

    running = asyncio.create_task(process.run([slow]))
    await asyncio.sleep(0.01)
    with pytest.raises(RuntimeError):
        await process.checks["started"]()
    go_on.set()
    await asyncio.sleep(0.01)

    await process.checks["started"]()
    process.stopping.set()
    await running


async def test_a_given_part_replaces_the_declared_one() -> None:
    process, diary = a_process(), Log()
    real = diary.part("real")
    process.lend(real, None)

    await process.use(real)

    assert diary == []


async def test_repeat_continues_at_once_while_there_is_work_and_waits_otherwise() -> None:
    stop, calls = asyncio.Event(), list[int]()

    async def act() -> bool:
        calls.append(len(calls))
        return len(calls) < 3

    repeating = asyncio.create_task(repeat(act, 3600, stop))
    await eventually(lambda: len(calls) == 3)
    stop.set()
    async with asyncio.timeout(2):
        await repeating
    assert len(calls) == 3
