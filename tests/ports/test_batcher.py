"""Batcher: which items share a batch, what each caller gets, and what a failure affects."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gofleet.adapters.batcher import Batcher, RunAlone
from gofleet.domain.errors import Unavailable
from gofleet.telemetry.tracing import current_trace_id, span
from tests.waiting import eventually


class Slow:
    """Records its batches; returns the items in upper case once the test releases them."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = asyncio.Semaphore(0)

    async def __call__(self, items: Sequence[str]) -> Sequence[str | Exception]:
        self.batches.append(list(items))
        await self.gate.acquire()
        return [ValueError(item) if item == "bad" else item.upper() for item in items]

    def release(self, batches: int = 1000) -> None:
        for _ in range(batches):
            self.gate.release()


async def started(slow: Slow, batches: int) -> None:
    await eventually(lambda: len(slow.batches) == batches)


async def test_a_lone_item_is_a_batch_at_once_and_later_ones_share_the_next() -> None:
    slow = Slow()
    batcher = Batcher(slow, max_size=3)
    first = asyncio.create_task(batcher("a"))
    await started(slow, 1)
    later = [asyncio.create_task(batcher(item)) for item in "bcde"]
    slow.release()

    assert await asyncio.gather(first, *later) == ["A", "B", "C", "D", "E"]
    assert slow.batches == [["a"], ["b", "c", "d"], ["e"]]


async def test_items_of_the_same_iteration_of_the_event_loop_share_a_batch() -> None:
    slow = Slow()
    slow.release()
    batcher = Batcher(slow, max_size=10)

    assert await asyncio.gather(*(batcher(item) for item in "abc")) == ["A", "B", "C"]
    assert slow.batches == [["a", "b", "c"]]


async def test_concurrency_bounds_the_batches_in_flight() -> None:
    slow = Slow()
    batcher = Batcher(slow, max_size=1, concurrency=2)
    results = [asyncio.create_task(batcher(item)) for item in "abc"]
    await started(slow, 2)
    await asyncio.sleep(0)
    assert slow.batches == [["a"], ["b"]]

    slow.release()
    assert await asyncio.gather(*results) == ["A", "B", "C"]


async def test_the_next_batch_waits_for_the_latest_one_but_not_for_a_slow_one() -> None:
    slow = Slow()
    batcher = Batcher(slow, max_size=10, concurrency=3, second_after_seconds=0.5)
    results = [asyncio.create_task(batcher("a"))]
    await started(slow, 1)
    results += [asyncio.create_task(batcher(item)) for item in "bc"]
    await asyncio.sleep(0)
    assert slow.batches == [["a"]]

    await started(slow, 2)  # beside the slow one
    results += [asyncio.create_task(batcher(item)) for item in "de"]
    slow.release(1)
    assert await results[0] == "A"
    assert slow.batches == [["a"], ["b", "c"]]

    slow.release()
    assert await asyncio.gather(*results) == ["A", "B", "C", "D", "E"]
    assert slow.batches == [["a"], ["b", "c"], ["d", "e"]]


async def test_concurrency_bounds_slow_batches_too() -> None:
    slow = Slow()
    batcher = Batcher(slow, max_size=1, concurrency=2, second_after_seconds=0.001)
    results = [asyncio.create_task(batcher(item)) for item in "abc"]
    await started(slow, 2)
    await asyncio.sleep(0.02)
    assert slow.batches == [["a"], ["b"]]

    slow.release()
    assert await asyncio.gather(*results) == ["A", "B", "C"]


async def test_items_with_a_key_in_common_never_share_a_batch() -> None:
    slow = Slow()
    slow.release()
    batcher = Batcher(slow, max_size=10, keys=lambda item: item.split("+"))
    items = ["a+x", "b", "a", "x+c", "c", "d"]

    assert await asyncio.gather(*(batcher(item) for item in items)) == [item.upper() for item in items]
    # "c" shares no key with the first batch, but must not overtake "x+c".
    assert slow.batches == [["a+x", "b", "d"], ["a", "x+c"], ["c"]]


async def test_an_error_among_the_results_is_raised_to_its_own_caller() -> None:
    slow = Slow()
    slow.release()
    batcher = Batcher(slow, max_size=10)

    answers = await asyncio.gather(*(batcher(item) for item in ("a", "bad", "b")), return_exceptions=True)

    assert [answers[0], answers[2]] == ["A", "B"]
    assert isinstance(answers[1], ValueError)
    assert len(slow.batches) == 1


async def test_after_a_failed_batch_each_item_is_processed_alone() -> None:
    batches: list[list[str]] = []

    async def picky(items: Sequence[str]) -> Sequence[str | Exception]:
        batches.append(list(items))
        if "bad" in items:
            raise ValueError("bad")
        return list(items)

    batcher = Batcher(picky, max_size=10)
    answers = await asyncio.gather(*(batcher(item) for item in ("a", "bad", "b")), return_exceptions=True)

    assert [answers[0], answers[2]] == ["a", "b"]
    assert isinstance(answers[1], ValueError)
    assert batches == [["a", "bad", "b"], ["a"], ["bad"], ["b"]]


async def test_an_item_that_runs_alone_delays_no_other() -> None:
    gate, batches = asyncio.Event(), list[list[str]]()

    async def act(items: Sequence[str]) -> Sequence[str | Exception]:
        batches.append(list(items))
        if items == ["held"]:
            await gate.wait()
        elif "held" in items:
            return [RunAlone() if item == "held" else item for item in items]
        return list(items)

    batcher = Batcher(act, max_size=10)
    held = asyncio.create_task(batcher("held"))
    assert await asyncio.gather(batcher("a"), batcher("b")) == ["a", "b"]
    assert await batcher("c") == "c"
    assert batches == [["held", "a", "b"], ["held"], ["c"]]
    assert not held.done()

    gate.set()
    assert await held == "held"


async def test_all_callers_get_an_outage_and_no_item_is_retried() -> None:
    calls = 0

    async def unavailable(_: Sequence[str]) -> Sequence[str | Exception]:
        nonlocal calls
        calls += 1
        raise Unavailable("it", "unavailable")

    batcher = Batcher(unavailable, max_size=10)
    answers = await asyncio.gather(*(batcher(item) for item in "abc"), return_exceptions=True)

    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert calls == 1
    with pytest.raises(Unavailable):
        await batcher("d")


async def test_a_cancelled_caller_leaves_its_waiting_batch_and_does_not_affect_a_running_one() -> None:
    slow = Slow()
    batcher = Batcher(slow, max_size=10)
    first, second = asyncio.create_task(batcher("a")), asyncio.create_task(batcher("b"))
    await started(slow, 1)
    third, fourth = asyncio.create_task(batcher("c")), asyncio.create_task(batcher("d"))
    await asyncio.sleep(0)
    for task in (first, third):
        task.cancel()
    slow.release()

    assert await asyncio.gather(second, fourth) == ["B", "D"]
    assert first.cancelled()
    assert third.cancelled()
    assert slow.batches == [["a", "b"], ["d"]]


async def test_a_batch_cancelled_from_within_is_an_outage() -> None:
    async def cancelled(_: Sequence[str]) -> Sequence[str | Exception]:
        raise asyncio.CancelledError

    with pytest.raises(Unavailable):
        await asyncio.wait_for(Batcher(cancelled, max_size=10)("a"), 5)


async def test_after_a_wrong_number_of_results_each_item_is_processed_alone() -> None:
    async def forgetful(items: Sequence[str]) -> Sequence[str | Exception]:
        return [item for item in items if item != "lost"]

    batcher = Batcher(forgetful, max_size=10)
    results = asyncio.gather(*(batcher(item) for item in ("a", "lost", "b")), return_exceptions=True)

    answers = await asyncio.wait_for(results, 5)
    assert [answers[0], answers[2]] == ["a", "b"]
    assert isinstance(answers[1], RuntimeError)


async def test_a_batch_has_no_callers_trace() -> None:
    traces: list[str | None] = []

    async def act(items: Sequence[str]) -> Sequence[str | Exception]:
        traces.append(current_trace_id())
        return list(items)

    with span("caller", traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"):
        await Batcher(act, max_size=10)("a")
    assert traces == [None]
