"""Who goes into a batch, what each gets, and who is spared."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gofleet.adapters.batcher import Batcher, RunAlone
from gofleet.domain.errors import Unavailable
from gofleet.telemetry.tracing import current_trace_id, span
from tests.waiting import eventually


class Slow:
    """Answers in upper case once it is let; remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = asyncio.Semaphore(0)

    async def __call__(self, items: Sequence[str]) -> Sequence[str | Exception]:
        self.batches.append(list(items))
        await self.gate.acquire()
        return [ValueError(item) if item == "bad" else item.upper() for item in items]

    def let(self, batches: int = 1000) -> None:
        for _ in range(batches):
            self.gate.release()


async def begun(slow: Slow, batches: int) -> None:
    await eventually(lambda: len(slow.batches) == batches)


async def test_a_lone_item_goes_at_once_and_those_after_it_together() -> None:
    slow = Slow()
    coalescer = Batcher(slow, max_size=3)
    first = asyncio.create_task(coalescer("a"))
    await begun(slow, 1)
    later = [asyncio.create_task(coalescer(item)) for item in "bcde"]
    slow.let()

    assert await asyncio.gather(first, *later) == ["A", "B", "C", "D", "E"]
    assert slow.batches == [["a"], ["b", "c", "d"], ["e"]]


async def test_what_comes_in_the_same_moment_shares_the_first_batch() -> None:
    slow = Slow()
    slow.let()
    coalescer = Batcher(slow, max_size=10)

    assert await asyncio.gather(*(coalescer(item) for item in "abc")) == ["A", "B", "C"]
    assert slow.batches == [["a", "b", "c"]]


async def test_so_many_batches_are_under_way_at_once() -> None:
    slow = Slow()
    coalescer = Batcher(slow, max_size=1, concurrency=2)
    asked = [asyncio.create_task(coalescer(item)) for item in "abc"]
    await begun(slow, 2)
    await asyncio.sleep(0)
    assert slow.batches == [["a"], ["b"]]

    slow.let()
    assert await asyncio.gather(*asked) == ["A", "B", "C"]


async def test_the_next_batch_waits_for_the_last_one_but_not_for_a_slow_one() -> None:
    slow = Slow()
    coalescer = Batcher(slow, max_size=10, concurrency=3, second_after_seconds=0.5)
    asked = [asyncio.create_task(coalescer("a"))]
    await begun(slow, 1)
    asked += [asyncio.create_task(coalescer(item)) for item in "bc"]
    await asyncio.sleep(0)
    assert slow.batches == [["a"]]

    await begun(slow, 2)  # beside it, both together
    asked += [asyncio.create_task(coalescer(item)) for item in "de"]
    slow.let(1)
    assert await asked[0] == "A"
    assert slow.batches == [["a"], ["b", "c"]]

    slow.let()
    assert await asyncio.gather(*asked) == ["A", "B", "C", "D", "E"]
    assert slow.batches == [["a"], ["b", "c"], ["d", "e"]]


async def test_slow_ones_are_at_most_so_many() -> None:
    slow = Slow()
    coalescer = Batcher(slow, max_size=1, concurrency=2, second_after_seconds=0.001)
    asked = [asyncio.create_task(coalescer(item)) for item in "abc"]
    await begun(slow, 2)
    await asyncio.sleep(0.02)
    assert slow.batches == [["a"], ["b"]]

    slow.let()
    assert await asyncio.gather(*asked) == ["A", "B", "C"]


async def test_items_with_a_key_in_common_never_share_a_batch() -> None:
    slow = Slow()
    slow.let()
    coalescer = Batcher(slow, max_size=10, keys=lambda item: item.split("+"))
    items = ["a+x", "b", "a", "x+c", "c", "d"]

    assert await asyncio.gather(*(coalescer(item) for item in items)) == [item.upper() for item in items]
    # "c" could go with the first, but not before "x+c", which it must not overtake.
    assert slow.batches == [["a+x", "b", "d"], ["a", "x+c"], ["c"]]


async def test_an_answer_that_is_an_error_is_one_callers_own() -> None:
    slow = Slow()
    slow.let()
    coalescer = Batcher(slow, max_size=10)

    answers = await asyncio.gather(*(coalescer(item) for item in ("a", "bad", "b")), return_exceptions=True)

    assert [answers[0], answers[2]] == ["A", "B"]
    assert isinstance(answers[1], ValueError)
    assert len(slow.batches) == 1


async def test_when_a_batch_fails_each_is_tried_alone() -> None:
    batches: list[list[str]] = []

    async def picky(items: Sequence[str]) -> Sequence[str | Exception]:
        batches.append(list(items))
        if "bad" in items:
            raise ValueError("bad")
        return list(items)

    coalescer = Batcher(picky, max_size=10)
    answers = await asyncio.gather(*(coalescer(item) for item in ("a", "bad", "b")), return_exceptions=True)

    assert [answers[0], answers[2]] == ["a", "b"]
    assert isinstance(answers[1], ValueError)
    assert batches == [["a", "bad", "b"], ["a"], ["bad"], ["b"]]


async def test_who_must_be_asked_for_alone_holds_up_nobody() -> None:
    gate, batches = asyncio.Event(), list[list[str]]()

    async def act(items: Sequence[str]) -> Sequence[str | Exception]:
        batches.append(list(items))
        if items == ["held"]:
            await gate.wait()
        elif "held" in items:
            return [RunAlone() if item == "held" else item for item in items]
        return list(items)

    coalescer = Batcher(act, max_size=10)
    held = asyncio.create_task(coalescer("held"))
    assert await asyncio.gather(coalescer("a"), coalescer("b")) == ["a", "b"]
    assert await coalescer("c") == "c"
    assert batches == [["held", "a", "b"], ["held"], ["c"]]
    assert not held.done()

    gate.set()
    assert await held == "held"


async def test_an_outage_is_everybodys_and_is_not_tried_again() -> None:
    calls = 0

    async def away(_: Sequence[str]) -> Sequence[str | Exception]:
        nonlocal calls
        calls += 1
        raise Unavailable("it", "it is away")

    coalescer = Batcher(away, max_size=10)
    answers = await asyncio.gather(*(coalescer(item) for item in "abc"), return_exceptions=True)

    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert calls == 1
    with pytest.raises(Unavailable):
        await coalescer("d")


async def test_who_leaves_before_it_begins_is_left_out_and_who_leaves_after_hurts_nobody() -> None:
    slow = Slow()
    coalescer = Batcher(slow, max_size=10)
    first, second = asyncio.create_task(coalescer("a")), asyncio.create_task(coalescer("b"))
    await begun(slow, 1)
    third, fourth = asyncio.create_task(coalescer("c")), asyncio.create_task(coalescer("d"))
    await asyncio.sleep(0)
    for task in (first, third):
        task.cancel()
    slow.let()

    assert await asyncio.gather(second, fourth) == ["B", "D"]
    assert first.cancelled()
    assert third.cancelled()
    assert slow.batches == [["a", "b"], ["d"]]


async def test_nobody_waits_for_a_batch_that_is_cancelled_from_within() -> None:
    async def torn(_: Sequence[str]) -> Sequence[str | Exception]:
        raise asyncio.CancelledError

    with pytest.raises(Unavailable):
        await asyncio.wait_for(Batcher(torn, max_size=10)("a"), 5)


async def test_nobody_waits_for_an_answer_that_was_left_out() -> None:
    async def forgetful(items: Sequence[str]) -> Sequence[str | Exception]:
        return [item for item in items if item != "lost"]

    coalescer = Batcher(forgetful, max_size=10)
    asked = asyncio.gather(*(coalescer(item) for item in ("a", "lost", "b")), return_exceptions=True)

    answers = await asyncio.wait_for(asked, 5)
    assert [answers[0], answers[2]] == ["a", "b"]
    assert isinstance(answers[1], RuntimeError)


async def test_a_batch_belongs_to_no_callers_trace() -> None:
    traces: list[str | None] = []

    async def act(items: Sequence[str]) -> Sequence[str | Exception]:
        traces.append(current_trace_id())
        return list(items)

    with span("caller", traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"):
        await Batcher(act, max_size=10)("a")
    assert traces == [None]
