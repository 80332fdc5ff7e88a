"""Natural batching: what is asked for while an answer is under way goes together into the next question."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from gofleet.domain.errors import Unavailable

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Waiting = tuple[Item, frozenset[Hashable], asyncio.Future[Answer]]


class RunAlone(Exception):
    """The answer that an item must be asked for alone. Never to a lone item."""


def _no_keys(_: object) -> Iterable[Hashable]:
    return ()


class Batcher(Generic[Item, Answer]):
    """Hands items to `act` in batches; calling it with an item gives that item's answer.

    A lone item is a batch at once, and a batch is only ever as large as what came while others were under way, `most`
    at the utmost. At most `at_once` are; the next begins beside one only when that one has taken `patience` seconds, so
    that batches are as large as can be and a slow one holds up nobody. Two items with a key in common never share a
    batch; the later one waits, and nobody else for it.

    `act` returns an answer for each item, in their order; one that is an exception is raised at its own caller. When
    `act` itself raises one of `common`, that is everybody's answer; after anything else each item is asked for alone,
    and so is an item whose answer is `Apart`: what is wrong with one, or holds it up, hurts nobody else.
    A caller who is cancelled leaves; what is under way goes on.
    """

    def __init__(
        self,
        act: Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]],
        *,
        max_size: int,
        concurrency: int = 1,
        second_after_seconds: float = 0.0,
        keys: Callable[[Item], Iterable[Hashable]] = _no_keys,
        common: tuple[type[Exception], ...] = (Unavailable,),
    ) -> None:
        self._act = act
        self._most = max_size
        self._at_once = concurrency
        self._patience = second_after_seconds
        self._keys = keys
        self._common = common
        self._waiting: deque[Waiting[Item, Answer]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._fresh: asyncio.Task[None] | None = None
        """The latest of them, while there is patience with it."""
        self._timer: asyncio.TimerHandle | None = None
        self._apart: set[asyncio.Task[None]] = set()

    async def __call__(self, item: Item) -> Answer:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, frozenset(self._keys(item)), future))
        self._go_on()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                future.exception()  # or the loop would complain that nobody asked
            raise

    def _go_on(self) -> None:
        if self._waiting and self._fresh is None and len(self._under_way) < self._at_once:
            task = self._begin(self._next(), self._under_way)
            task.add_done_callback(self._ended)
            if self._patience:
                self._fresh = task
                self._timer = asyncio.get_running_loop().call_later(self._patience, self._allow_second_batch)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if task is self._fresh and self._timer is not None:
            self._timer.cancel()
            self._fresh = None
        self._go_on()

    def _allow_second_batch(self) -> None:
        self._fresh = None
        self._go_on()

    def _begin(self, work: Coroutine[None, None, None], among: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        # In no caller's context: a batch belongs to none of their traces more than to another's.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        among.add(task)
        return task

    async def _next(self) -> None:
        if batch := self._taken():
            await self._ask(batch)

    def _taken(self) -> list[Waiting[Item, Answer]]:
        """The next batch, out of the queue; taken as late as can be, so that it holds whoever came meanwhile."""
        batch: list[Waiting[Item, Answer]] = []
        passed_over: list[Waiting[Item, Answer]] = []
        met: set[Hashable] = set()
        while self._waiting and len(batch) < self._most:
            waiting = self._waiting.popleft()
            _, keys, future = waiting
            if future.done():
                continue  # its caller has left
            if met.isdisjoint(keys):
                batch.append(waiting)
            else:
                passed_over.append(waiting)
            met |= keys  # also of one that waits, or a third would overtake it
        self._waiting.extendleft(reversed(passed_over))
        return batch

    async def _ask(self, batch: Sequence[Waiting[Item, Answer]]) -> None:
        try:
            answers = await self._act([item for item, _, _ in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(answers)} answers to {len(batch)} items")
        except Exception as error:
            alone = len(batch) == 1 or isinstance(error, self._common)
            answers = [error if alone else RunAlone()] * len(batch)
        except BaseException:  # cancelled, such as with its loop: nobody must wait for what will never come
            self._answer(batch, [Unavailable("the answer", "the asking was cut off")] * len(batch))
            raise
        self._answer(batch, answers)

    def _answer(self, batch: Sequence[Waiting[Item, Answer]], answers: Sequence[Answer | Exception]) -> None:
        for waiting, answer in zip(batch, answers, strict=True):
            future = waiting[-1]
            if future.done():
                continue
            if isinstance(answer, RunAlone) and len(batch) > 1:
                # Beside the batches, so that the next of those need not wait for it.
                self._begin(self._ask([waiting]), self._apart).add_done_callback(self._apart.discard)
            elif isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
