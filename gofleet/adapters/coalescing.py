"""Natural batching: what is asked for while an answer is under way goes together into the next question."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from gofleet.domain.errors import Unavailable

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Waiting = tuple[Item, asyncio.Future[Answer]]


def _no_keys(_: object) -> Iterable[Hashable]:
    return ()


class Coalescer(Generic[Item, Answer]):
    """Hands items to `act` in batches; calling it with an item gives that item's answer.

    No clock is involved: a lone item is a batch at once, and a batch is only ever as large as what came while
    `at_once` of them were under way, `most` at the utmost. Two items with a key in common never share a batch; the
    later one waits, and nobody else for it.

    `act` returns an answer for each item, in their order; one that is an exception is raised at its own caller. When
    `act` itself raises one of `common`, that is everybody's answer; after anything else each item is tried alone, so
    that what is wrong with one hurts nobody else. A caller who is cancelled leaves; what is under way goes on.
    """

    def __init__(
        self,
        act: Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]],
        *,
        most: int,
        at_once: int = 1,
        keys: Callable[[Item], Iterable[Hashable]] = _no_keys,
        common: tuple[type[Exception], ...] = (Unavailable,),
    ) -> None:
        self._act = act
        self._most = most
        self._at_once = at_once
        self._keys = keys
        self._common = common
        self._waiting: deque[Waiting[Item, Answer]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()

    async def __call__(self, item: Item) -> Answer:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._go_on()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                future.exception()  # or the loop would complain that nobody asked
            raise

    def _go_on(self) -> None:
        if self._waiting and len(self._under_way) < self._at_once:
            # In no caller's context: a batch belongs to none of their traces more than to another's.
            task = asyncio.get_running_loop().create_task(self._batch(), context=Context())
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._go_on()

    async def _batch(self) -> None:
        batch = self._taken()
        if not batch:
            return
        try:
            await self._answer(batch)
        except BaseException:  # cancelled, such as with its loop: nobody must wait for what will never come
            for _, future in batch:
                if not future.done():
                    future.set_exception(Unavailable("the answer", "the asking was cut off"))
            raise

    def _taken(self) -> list[Waiting[Item, Answer]]:
        """The next batch, out of the queue; taken as late as can be, so that it holds whoever came meanwhile."""
        batch: list[Waiting[Item, Answer]] = []
        passed_over: list[Waiting[Item, Answer]] = []
        met: set[Hashable] = set()
        while self._waiting and len(batch) < self._most:
            waiting = self._waiting.popleft()
            if waiting[1].done():
                continue  # its caller has left
            keys = frozenset(self._keys(waiting[0]))
            if met.isdisjoint(keys):
                batch.append(waiting)
            else:
                passed_over.append(waiting)
            met |= keys  # also of one that waits, or a third would overtake it
        self._waiting.extendleft(reversed(passed_over))
        return batch

    async def _answer(self, batch: Sequence[Waiting[Item, Answer]]) -> None:
        try:
            answers = await self._act([item for item, _ in batch])
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, self._common):
                for one in batch:
                    await self._answer([one])
                return
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
