"""Simulated customers and drivers in a process of their own: orders and their deliveries."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from uuid import uuid4

import psycopg
import uvloop

from tests.bench.connections import Connection
from tests.bench.load import CENTRE, in_own_process, request

LOOK_SECONDS = 0.05
"""The interval between two reads of dispatched orders."""
SETTLE_SECONDS = 150.0
"""After the last order; longer than the longest pause between two tries to dispatch one."""
DEGREES = 0.03
"""How far from the centre customers and drivers are, north and east: 3 km or so."""


@dataclass(frozen=True)
class Plan:
    """For `seconds` orders are created: `rate` a second at even distances, or, without it, as many as keep
    `under_way` of them between their creation and their delivery. Dispatched orders are delivered at once, or, if
    drivers are `patient`, after the last order, when deliveries do not slow the measurement."""

    ports: tuple[int, ...]
    conninfo: str
    seconds: float
    under_way: int
    rate: float | None = None
    connections: int = 32
    patient: bool = False


@dataclass
class Done:
    """When the request for each order was due, seconds of time.time; `began` and `ended` bound the orders."""

    began: float
    ended: float
    due: dict[str, float] = field(default_factory=dict[str, float])
    delivered: int = 0
    statuses: Counter[int] = field(default_factory=Counter[int])
    cpu_ms: float = 0.0


async def live(plan: Plan) -> Done:
    """Until all is delivered. What an order waits for, the caller must have seen to: drivers, and all four roles."""
    return await in_own_process(partial(_live, plan))


def _live(plan: Plan) -> Done:
    return uvloop.run(_Town(plan).live())


def anywhere(chance: random.Random) -> tuple[float, float]:
    """Latitude and longitude."""
    lat, lng = CENTRE
    return round(lat + chance.uniform(-DEGREES, DEGREES), 5), round(lng + chance.uniform(-DEGREES, DEGREES), 5)


class _Town:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        began = time.time()
        self._done = Done(began, began + plan.seconds)
        self._name = uuid4().hex[:8]
        self._chance = random.Random(1)  # noqa: S311
        self._work: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._delivery = asyncio.Event()

    async def live(self) -> Done:
        plan, cpu = self._plan, time.process_time()
        ports = (plan.ports[number % len(plan.ports)] for number in range(plan.connections))
        connections = [await Connection.to(port) for port in ports]
        doing: list[Coroutine[None, None, None]] = [self._look(), *(self._act(each) for each in connections)]
        if plan.rate:
            doing.append(self._order_at(plan.rate))
        else:
            for _ in range(plan.under_way):
                self._order(time.time())
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in doing]
            async with asyncio.timeout(plan.seconds + SETTLE_SECONDS):
                await asyncio.sleep(plan.seconds)
                while self._done.delivered < len(self._done.due):
                    self._delivery.clear()
                    await self._delivery.wait()
            for task in tasks:
                task.cancel()
        for each in connections:
            each.close()
        self._done.cpu_ms = (time.process_time() - cpu) * 1000
        return self._done

    async def _order_at(self, rate: float) -> None:
        done = self._done
        while (due := done.began + len(done.due) / rate) < done.ended:
            await asyncio.sleep(max(0.0, due - time.time()))
            self._order(due)

    def _order(self, due: float) -> None:
        order_id = f"b-{self._name}-{len(self._done.due):08}"
        self._done.due[order_id] = due
        lat, lng = anywhere(self._chance)
        body = f'{{"id": "{order_id}", "price": 100.0, "tax": 10.0, "pickup": {{"lat": {lat}, "lng": {lng}}}}}'
        self._work.put_nowait(("", request("POST", "/api/v1/orders", body)))

    async def _act(self, connection: Connection) -> None:
        """Do one thing after the other; an order that is not taken, or not delivered, ends the measurement."""
        done = self._done
        while True:
            delivering, requested = await self._work.get()
            answer = await connection.ask(requested)
            done.statuses[answer.status] += 1
            if not 200 <= answer.status < 300:
                raise AssertionError(f"{answer.status} {answer.body.decode()} to {requested.decode()}")
            if delivering:
                self._delivered()

    def _delivered(self) -> None:
        done = self._done
        done.delivered += 1
        if self._plan.rate is None and (now := time.time()) < done.ended:
            self._order(now)
        self._delivery.set()

    async def _look(self) -> None:
        """Directly in the database, the cheapest way; its cost is part of PostgreSQL's."""
        known: set[str] = set()
        if self._plan.patient:
            await asyncio.sleep(self._plan.seconds)
        async with await psycopg.AsyncConnection.connect(self._plan.conninfo, autocommit=True) as connection:
            while True:
                found = await connection.execute("select id from orders where status = 'DISPATCHED'", prepare=True)
                on_the_way = {order_id for (order_id,) in await found.fetchall()}
                for order_id in on_the_way - known:
                    self._work.put_nowait((order_id, request("POST", f"/api/v1/orders/{order_id}/deliver")))
                known = on_the_way
                await asyncio.sleep(LOOK_SECONDS)
