"""Seeded customers and drivers: orders are created, repeated, cancelled, delivered, retried, dispatched manually."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gofleet.domain.place import Place
from tests.chaos.client import Answer, Client
from tests.makers import CENTRE

LOOK_SECONDS = 0.4
CUSTOMER_SECONDS = 75.0
PING_SECONDS = 4.0
NOWHERE = Place(CENTRE.lat + 3, CENTRE.lng)
"""Some 330 km from every driver."""
WAITS = "PENDING"
CHANGE_SHARE = 0.2
"""Of the orders; their data is changed soon after their creation."""
ENDINGS = {"deliver": 55, "cancel": 15, "redispatch": 10, "hand": 10, "nobody": 10}
"""The intended end of orders, in percent. `nobody`: ordered from a place without drivers. Two more, for faults with
plans of their own: leave = wait for an answer, forget = do not even wait."""


@dataclass
class Drivers:
    """They report their positions repeatedly, and so return to an index that has lost them."""

    client: Client
    places: dict[str, Place] = field(default_factory=dict[str, Place])

    async def hire(self, name: str, count: int, centre: Place = CENTRE) -> list[str]:
        """Register drivers within a kilometre of the centre; their ids."""
        ids = [f"{name}-{number:03}" for number in range(count)]
        for number, id in enumerate(ids):
            self.places[id] = Place(centre.lat + (number % 10) * 0.0005, centre.lng + (number // 10) * 0.0005)
        await asyncio.gather(*(self._register(id) for id in ids))
        return ids

    def dismiss(self, ids: Iterable[str]) -> None:
        """They report no more positions."""
        for id in ids:
            del self.places[id]

    async def ping(self) -> None:
        while True:
            started = time.monotonic()
            for id in tuple(self.places):
                if id in self.places:  # it may have been dismissed meanwhile
                    await self._say_where(id)
                await asyncio.sleep(PING_SECONDS / (len(self.places) + 1) / 2)
            await asyncio.sleep(max(0.0, PING_SECONDS - (time.monotonic() - started)))

    async def _register(self, id: str) -> None:
        until = time.monotonic() + CUSTOMER_SECONDS
        while time.monotonic() < until:
            answer = await self.client.ask("PUT", f"/api/v1/drivers/{id}", {"name": id})
            if answer and answer.ok and await self._say_where(id):
                return
            await asyncio.sleep(LOOK_SECONDS)
        raise AssertionError(f"driver {id} could not be registered")

    async def _say_where(self, id: str) -> bool:
        place = self.places[id]
        answer = await self.client.ask("PUT", f"/api/v1/drivers/{id}/position", {"lat": place.lat, "lng": place.lng})
        return answer is not None and answer.ok


@dataclass
class Load:
    """`orders` orders at `rate` a second, or any number until `over`; every choice comes from `seed`.

    `ids` are those that were accepted.
    """

    client: Client
    seed: str
    orders: int
    rate: float
    drivers: list[str]
    centre: Place = CENTRE
    ending: str | None = None
    cancel_within: float = 1.0
    over: asyncio.Event | None = None
    ids: list[str] = field(default_factory=list[str])
    ends: Counter[str] = field(default_factory=Counter[str])
    complaints: list[str] = field(default_factory=list[str])

    async def run(self) -> None:
        """Return when every story has come to its end, or to none in time."""
        async with asyncio.TaskGroup() as stories:
            for number in itertools.count():
                if self.over.is_set() if self.over else number >= self.orders:
                    return
                stories.create_task(self._customer(number))
                await asyncio.sleep(1 / self.rate)

    async def _customer(self, number: int) -> None:
        dice = random.Random(f"{self.seed}/{number}")  # noqa: S311
        order_id = f"{self.seed}-{number:04}"
        wish = self.ending or dice.choices(list(ENDINGS), list(ENDINGS.values()))[0]
        body = self._body(order_id, wish, dice)
        if not await self._create(order_id, body, dice):
            return
        self.ids.append(order_id)
        if dice.random() < CHANGE_SHARE:
            await self._change(order_id, body, dice)
        match wish:
            case "cancel":
                await asyncio.sleep(dice.uniform(0, self.cancel_within))
                last = await self.client.act("cancel", order_id, f"/{order_id}/cancel")
            case "redispatch":
                last = await self._redispatch(order_id, dice)
            case "hand" | "nobody":
                last = await self._manual(order_id, dice)
            case "forget":
                return
            case "leave":
                last = await self._settled(order_id)
            case _:
                last = await self._deliver(order_id, dice)
        self.ends[str(last.body.get("status", last.status)) if last else "unknown"] += 1

    def _body(self, order_id: str, wish: str, dice: random.Random) -> dict[str, Any]:
        centre = NOWHERE if wish in ("hand", "nobody") else self.centre
        return {
            "id": order_id,
            "price": dice.randrange(100, 99_999) / 100,
            "tax": dice.randrange(0, 999) / 100,
            "pickup": {"lat": round(centre.lat + dice.uniform(-0.004, 0.004), 6), "lng": centre.lng},
            "reference": f"R-{dice.randrange(1000)}",
            "metadata": {"seed": self.seed},
        }

    async def _change(self, order_id: str, body: dict[str, Any], dice: random.Random) -> None:
        """Change its data while it is dispatched; the creation, repeated after that, is answered as before (I10)."""
        found = await self.client.act("get", order_id, f"/{order_id}")
        if found and found.ok:
            wanted = {"reference": None, "metadata": {"note": str(dice.random())}}
            version = found.body["version"]
            await self.client.act("change", order_id, f"/{order_id}", body=wanted, if_match=version)
            await self.client.act("create", order_id, body=body)

    async def _create(self, order_id: str, body: dict[str, Any], dice: random.Random) -> bool:
        answer = await self.client.act("create", order_id, body=body)
        if answer is None or not answer.ok:
            return False
        if dice.random() < 0.15:
            again = await self.client.act("create", order_id, body=body)
            if again is not None and again.body != answer.body:
                self.complaints.append(f"{order_id}: repeated, it answered {again} and not {answer}")
        if dice.random() < 0.05:
            other = await self.client.act("create", order_id, body={**body, "price": 1.0})
            if other is not None and other.status != 409:
                self.complaints.append(f"{order_id}: other content was answered {other}")
        return True

    async def _settled(self, order_id: str) -> Answer | None:
        """The order once it no longer waits; None if that takes too long."""
        until = time.monotonic() + CUSTOMER_SECONDS
        while time.monotonic() < until:
            await asyncio.sleep(LOOK_SECONDS)
            answer = await self.client.ask("GET", f"/api/v1/orders/{order_id}")
            if answer and answer.ok and answer.body["status"] != WAITS:
                self.client.ledger.write(
                    "get", order_id, request=None, status=answer.status, response=answer.body, tries=1
                )
                return answer
        return None

    async def _deliver(self, order_id: str, dice: random.Random) -> Answer | None:
        order = await self._settled(order_id)
        if order is None or order.body["status"] != "DISPATCHED":
            return order
        await asyncio.sleep(dice.uniform(0.1, 0.6))
        return await self.client.act("deliver", order_id, f"/{order_id}/deliver")

    async def _redispatch(self, order_id: str, dice: random.Random) -> Answer | None:
        if order := await self._settled(order_id):
            version = int(order.body["version"])
            await self.client.act("redispatch", order_id, f"/{order_id}/redispatch", if_match=version)
        return await self._deliver(order_id, dice)

    async def _manual(self, order_id: str, dice: random.Random) -> Answer | None:
        order = await self._settled(order_id)
        if order is None or order.body["status"] != "MANUAL_DISPATCH" or dice.random() < 0.3:
            return order  # it stays in manual dispatch, with a reason
        driver = dice.choice(self.drivers)
        given = await self.client.act(
            "dispatch",
            order_id,
            f"/{order_id}/dispatch",
            body={"driver_id": driver},
            if_match=int(order.body["version"]),
        )
        return await self._deliver(order_id, dice) if given and given.ok else given


@asynccontextmanager
async def pinging(drivers: Drivers) -> AsyncGenerator[None]:
    """Keep the drivers talking for the block."""
    task = asyncio.create_task(drivers.ping())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()  # without positions no order would have been dispatched
