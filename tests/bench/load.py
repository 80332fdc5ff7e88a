"""A load generator that costs less than what it measures: raw HTTP/1.1 on kept connections, in a process of its own."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import uvloop

from tests.bench.connections import Answer, Connection
from tests.bench.outcomes import Outcome

T = TypeVar("T")

SETTLE_SECONDS = 60.0
"""So long the last answers are waited for."""
PAUSE_SECONDS = 0.02
"""After a connection broke, before it asks again."""
CENTRE = (-23.5505, -46.6333)


@dataclass(frozen=True)
class NewOrders:
    """The request that creates order number n, by the owner of the token, from the `places` in turn."""

    prefix: str
    places: Sequence[tuple[float, float]] = (CENTRE,)
    token: str = ""

    def id(self, number: int) -> str:
        return f"{self.prefix}{number:012}"

    def __call__(self, number: int) -> bytes:
        lat, lng = self.places[number % len(self.places)]
        body = f'{{"id": "{self.id(number)}", "price": 100.0, "tax": 10.0, "pickup": {{"lat": {lat}, "lng": {lng}}}}}'
        return request("POST", "/api/v1/orders", body, self.token)


def request(method: str, path: str, body: str = "", token: str = "") -> bytes:
    """A request as it goes over the wire."""
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{bearer}\r\n{body}"
    ).encode()


@dataclass(frozen=True)
class Load:
    """What to send: `request(n)` for n = `first`, `first` + 1, ...; the connections go to `ports` in turn.

    Without a `rate` the loop is closed: each connection sends the next request after a response. With one, requests are
    due at even distances whatever the responses do, and wait for a free connection. The first `warm_seconds` are sent
    but not measured. `most` ends a closed loop after that number of requests, if that is sooner.
    """

    request: Callable[[int], bytes]
    ports: tuple[int, ...]
    connections: int
    seconds: float
    rate: float | None = None
    warm_seconds: float = 0.0
    first: int = 0
    most: int | None = None


async def in_own_process(work: Callable[[], T]) -> T:
    """Run `work` (which must pickle) in a process of its own; returns its result."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, work)


async def send(load: Load) -> Outcome:
    """Send it from a process of its own; a broken connection is opened again. TimeoutError if answers stay away."""
    return await in_own_process(partial(_send, load))


def _send(load: Load) -> Outcome:
    return uvloop.run(sent(load))


async def sent(load: Load) -> Outcome:
    """Send it from this process."""
    places = itertools.islice(itertools.cycle(load.ports), load.connections)
    connections = [await Connection.to(port) for port in places]
    used, began = time.process_time(), time.time() + load.warm_seconds
    outcome = Outcome(began, began + load.seconds)
    try:
        async with asyncio.timeout(load.warm_seconds + load.seconds + SETTLE_SECONDS):
            if load.rate is None:
                await _all_closed(load, connections, outcome)
            else:
                await _OpenLoop(load, load.rate, connections, outcome).run()
    finally:
        for one in connections:
            one.close()
    outcome.cpu_seconds = time.process_time() - used
    return outcome


async def _all_closed(load: Load, connections: list[Connection], outcome: Outcome) -> None:
    numbers = itertools.islice(itertools.count(load.first), load.most)
    await asyncio.gather(*(_closed(load.request, one, numbers, outcome) for one in connections))
    outcome.ended = min(outcome.ended, time.time())


async def _closed(
    make: Callable[[int], bytes], connection: Connection, numbers: Iterator[int], outcome: Outcome
) -> None:
    while (due := time.time()) < outcome.ended and (number := next(numbers, None)) is not None:
        answer = await connection.ask(make(number))
        outcome.note(number, due, time.time(), answer.status, answer.head)
        if not answer.status:
            await asyncio.sleep(PAUSE_SECONDS)


class _OpenLoop:
    """Without a task for each request: callbacks hand a free connection the request that has waited longest."""

    def __init__(self, load: Load, rate: float, connections: list[Connection], outcome: Outcome) -> None:
        self._load = load
        self._rate = rate
        self._free = connections.copy()
        self._outcome = outcome
        self._waiting: deque[tuple[int, float]] = deque()
        self._unanswered = 0
        self._all_sent = False
        self._done = asyncio.Event()
        self._repairs: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        start = self._outcome.began - self._load.warm_seconds
        for number in itertools.count():
            due = start + number / self._rate
            if due >= self._outcome.ended:
                break
            if (early := due - time.time()) > 0:
                self._hand_out()
                await asyncio.sleep(early)
            elif number % 64 == 0:  # late: let answers in
                self._hand_out()
                await asyncio.sleep(0)
            self._waiting.append((self._load.first + number, due))
            self._unanswered += 1
        self._all_sent = True
        self._hand_out()
        await self._done.wait()

    def _hand_out(self) -> None:
        while self._waiting and self._free:
            connection = self._free.pop()
            if not connection.is_open:  # the server closed it while it was idle
                self._mend(connection)
                continue
            number, due = self._waiting.popleft()
            connection.send(self._load.request(number), partial(self._answered, connection, number, due))
        if self._all_sent and not self._unanswered:
            self._done.set()

    def _answered(self, connection: Connection, number: int, due: float, answer: Answer) -> None:
        self._outcome.note(number, due, time.time(), answer.status, answer.head)
        self._unanswered -= 1
        if connection.is_open:
            self._free.append(connection)
        else:
            self._mend(connection)
        self._hand_out()

    def _mend(self, connection: Connection) -> None:
        repair = asyncio.ensure_future(self._repair(connection))
        self._repairs.add(repair)
        repair.add_done_callback(self._repairs.discard)

    async def _repair(self, connection: Connection) -> None:
        while not connection.is_open:
            try:
                await connection.reopen()
            except OSError:
                await asyncio.sleep(PAUSE_SECONDS)
        self._free.append(connection)
        self._hand_out()
