"""Natural batching: items that arrive while a batch is running form the next batch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from gofleet.domain.errors import Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")
Waiting = tuple[Item, frozenset[Hashable], asyncio.Future[Result]]


class RunAlone(Exception):
    """Result by which `act` requests that an item be processed alone; never for a batch of one item."""


def _no_keys(_: object) -> Iterable[Hashable]:
    return ()


class Batcher(Generic[Item, Result]):
    """Passes items to `act` in batches; calling it with an item returns the result of that item.

    An item that arrives alone is a batch at once; a batch holds the items that arrived while others were running, at
    most `max_size`. At most `concurrency` batches run; another one starts beside a running one only after
    `second_after_seconds`, so that batches become large and a slow one delays no other. Two items with a common key
    never share a batch: the later one waits, without delaying items with other keys.

    `act` returns one result for each item, in order; an exception among them is raised to its own caller. If `act`
    itself raises one of `batch_errors`, all callers get it; after any other exception each item is processed alone, as
    is an item whose result is `RunAlone`, so that a faulty or slow item affects no other. A cancelled caller leaves the
    running batch unaffected.
    """

    def __init__(
        self,
        act: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        max_size: int,
        concurrency: int = 1,
        second_after_seconds: float = 0.0,
        keys: Callable[[Item], Iterable[Hashable]] = _no_keys,
        batch_errors: tuple[type[Exception], ...] = (Unavailable,),
    ) -> None:
        self._act = act
        self._max_size = max_size
        self._concurrency = concurrency
        self._second_after_seconds = second_after_seconds
        self._keys = keys
        self._batch_errors = batch_errors
        self._waiting: deque[Waiting[Item, Result]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._latest: asyncio.Task[None] | None = None
        """The latest batch, until a second one may start beside it."""
        self._timer: asyncio.TimerHandle | None = None
        self._alone: set[asyncio.Task[None]] = set()

    async def __call__(self, item: Item) -> Result:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, frozenset(self._keys(item)), future))
        self._start_next()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                future.exception()  # retrieved, or the loop would log it
            raise

    def _start_next(self) -> None:
        if self._waiting and self._latest is None and len(self._running) < self._concurrency:
            task = self._start(self._run_next(), self._running)
            task.add_done_callback(self._on_end)
            if self._second_after_seconds:
                self._latest = task
                self._timer = asyncio.get_running_loop().call_later(
                    self._second_after_seconds, self._allow_second_batch
                )

    def _on_end(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if task is self._latest and self._timer is not None:
            self._timer.cancel()
            self._latest = None
        self._start_next()

    def _allow_second_batch(self) -> None:
        self._latest = None
        self._start_next()

    def _start(self, work: Coroutine[None, None, None], tasks: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        # In an empty context: a batch belongs to no single caller's trace.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        tasks.add(task)
        return task

    async def _run_next(self) -> None:
        if batch := self._take_batch():
            await self._run(batch)

    def _take_batch(self) -> list[Waiting[Item, Result]]:
        """Remove the next batch from the queue, as late as possible, so that it holds all items that have arrived."""
        batch: list[Waiting[Item, Result]] = []
        skipped: list[Waiting[Item, Result]] = []
        seen_keys: set[Hashable] = set()
        while self._waiting and len(batch) < self._max_size:
            waiting = self._waiting.popleft()
            _, keys, future = waiting
            if future.done():
                continue  # its caller was cancelled
            if seen_keys.isdisjoint(keys):
                batch.append(waiting)
            else:
                skipped.append(waiting)
            seen_keys |= keys  # also of a skipped item, or a third one would overtake it
        self._waiting.extendleft(reversed(skipped))
        return batch

    async def _run(self, batch: Sequence[Waiting[Item, Result]]) -> None:
        try:
            results = await self._act([item for item, _, _ in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(results)} results for {len(batch)} items")
        except Exception as error:
            alone = len(batch) == 1 or isinstance(error, self._batch_errors)
            results = [error if alone else RunAlone()] * len(batch)
        except BaseException:  # cancelled, as at the end of the loop: no caller may wait forever
            self._result(batch, [Unavailable("the result", "the batch was cancelled")] * len(batch))
            raise
        self._result(batch, results)

    def _result(self, batch: Sequence[Waiting[Item, Result]], results: Sequence[Result | Exception]) -> None:
        for waiting, result in zip(batch, results, strict=True):
            future = waiting[-1]
            if future.done():
                continue
            if isinstance(result, RunAlone) and len(batch) > 1:
                # Beside the batches, so that the next batch does not wait for it.
                self._start(self._run([waiting]), self._alone).add_done_callback(self._alone.discard)
            elif isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
