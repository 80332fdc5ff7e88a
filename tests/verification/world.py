"""A small installation at rest without violations, and ways to cause one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from redis.asyncio import Redis

from gofleet.adapters.http.schemas.orders import created_order_view, order_view
from gofleet.adapters.postgres.drivers import PostgresDrivers
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresInbox, PostgresOutbox
from gofleet.adapters.postgres.pool import Pool
from gofleet.adapters.redis.positions import RedisPositions
from gofleet.domain.driver import Driver
from gofleet.domain.events import from_json
from gofleet.domain.messages import DISPATCH_QUEUE, FLEET_QUEUE, QUEUES, Message, Receipt
from gofleet.domain.order import Order
from gofleet.domain.principal import CLIENT
from gofleet.guards.chain import DISPATCH_CONSUMER
from gofleet.settings import Settings
from gofleet.usecases.drivers import FollowOrders
from gofleet.usecases.transitions import Transition
from gofleet.verification import Inputs, InvariantState, Report, verify
from tests.makers import a_position, an_order, dispatch_to, escalate, on_the_map

Moves = tuple[Transition, ...]
HISTORIES: dict[str, Moves] = {
    "o-delivered": (dispatch_to("ana"), Order.deliver),
    "o-dispatched": (dispatch_to("ana"),),
    "o-again": (dispatch_to("bea"), Order.redispatch, dispatch_to("bea")),
    "o-manual": (escalate,),
    "o-cancelled": (dispatch_to("caio"), Order.cancel),
}


UPDATE = """
with updated as (
    update orders set version = version + 1 where id = %s returning id, version
)
insert into outbox (event_id, aggregate_id, seq, event_type, payload)
select gen_random_uuid(), id, version, 'orders.updated', '{}' from updated
"""


@dataclass
class VerifiedInstallation:
    """An installation; a test may change the lines of `ledger` and `tap` before `verify` reads them."""

    settings: Settings
    dsn: str
    pool: Pool
    redis: Redis
    folder: Path
    ledger: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    tap: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def prefix(self) -> str:
        return self.settings.general.key_prefix

    async def populate(self) -> None:
        """Create and finish orders through the real adapters; events are passed on as by a broker."""
        orders = PostgresOrders(self.pool)
        drivers = PostgresDrivers(self.pool)
        for driver_id in ("ana", "bea", "caio", "dora"):
            await self.positions.register(await drivers.put(Driver(driver_id, driver_id.title())))
        await on_the_map(self.positions, [a_position(driver) for driver in ("ana", "bea", "caio", "dora")])
        for order_id, moves in HISTORIES.items():
            assert await orders.add(an_order(order_id))
            self.record("create", await orders.get(order_id), 201)
            self.record("create", await orders.get(order_id), 200)
            for move in moves:
                await self.transition(order_id, move)
        await self._refused_requests(orders)
        await self.handle_events()

    @property
    def positions(self) -> RedisPositions:
        return RedisPositions(self.redis, prefix=self.prefix, stale_seconds=60, claim_ms=1000)

    async def add(self, order_id: str) -> None:
        assert await PostgresOrders(self.pool).add(an_order(order_id))

    async def transition(self, order_id: str, move: Transition) -> None:
        orders = PostgresOrders(self.pool)
        order = await orders.get(order_id)
        move(order, by=CLIENT)
        await orders.save(order)

    def update(self, order_id: str) -> None:
        """Add a version that changes nothing of the order's dispatch, with its event."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(UPDATE, (order_id,))

    async def handle_events(self) -> None:
        """Publish and handle the events of the outbox."""
        inbox, follow = PostgresInbox(self.pool), FollowOrders(self.positions)
        for message in await self.publish_events():
            if message.type in QUEUES[DISPATCH_QUEUE]:
                await inbox.record(Receipt(DISPATCH_CONSUMER, message.event_id), "dispatched")
            if message.type in QUEUES[FLEET_QUEUE]:
                await follow(from_json(message.body))

    async def _refused_requests(self, orders: PostgresOrders) -> None:
        self.record("cancel", await orders.get("o-cancelled"), 200)
        self.record("deliver", await orders.get("o-delivered"), 200)
        self.record("get", await orders.get("o-manual"), 200)
        problem = {"type": "urn:gofleet:problem:invalid-transition", "detail": "order o-delivered is DELIVERED"}
        self.ledger.append(self.line("cancel", "o-delivered", None, 409, problem))
        other = {"id": "o-manual", "price": 1, "tax": 0}
        taken = {
            "type": "urn:gofleet:problem:order-taken",
            "detail": "order o-manual exists already with other content",
        }
        self.ledger.append(self.line("create", "o-manual", other, 409, taken))
        self.ledger.append(self.line("create", "o-unknown", {**other, "id": "o-unknown"}, None, None))

    async def publish_events(self) -> list[Message]:
        """Publish the events of the outbox into the tap."""
        taken: list[Message] = []
        outbox = PostgresOutbox(self.pool)
        while True:
            async with outbox.claiming(100) as claim:
                if not claim.messages:
                    return taken
                taken += claim.messages
                await claim.settle([None] * len(claim.messages))
            for event in claim.messages:
                line = {"event_id": event.event_id, "type": event.type, "order_id": event.order_id}
                self.tap.append({**line, "sequence": event.sequence})

    def execute(self, *statements: str) -> None:
        """Execute a statement as a superuser without triggers."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("set session_replication_role = replica")
            for statement in statements:
                connection.execute(statement.encode())

    def value(self, query: str) -> Any:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]

    async def verify(self, *, ledger: bool = True, tap: bool = True, **inputs: Any) -> Report:
        files = {"ledger": self.ledger} if ledger else {}
        files |= {"tap": self.tap} if tap else {}
        paths = {name: self.write(name, lines) for name, lines in files.items()}
        return await verify(self.settings, Inputs(**paths, **inputs))

    async def expect_violations(self, ids: str, *subjects: str, says: str = "", **inputs: Any) -> None:
        """Assert that exactly these invariants are violated, the last one by exactly these offenders."""
        report = await self.verify(**inputs)
        found = {each.id: each.offenders for each in report.results if each.verdict is InvariantState.VIOLATED}
        assert set(found) == set(ids.split()), found
        offenders = found[ids.rsplit(maxsplit=1)[-1]]
        assert {offender.subject for offender in offenders} == set(subjects), found
        assert any(says in offender.why for offender in offenders), found
        assert report.exit_code == 1

    async def expect_none(self, **inputs: Any) -> Report:
        report = await self.verify(**inputs)
        assert [each for each in report.results if each.total or each.unreadable] == []
        return report

    def write(self, name: str, lines: list[dict[str, Any]]) -> Path:
        path = self.folder / f"{name}.jsonl"
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
        return path

    def event_id(self, order_id: str, sequence: int = 1) -> str:
        where = f"aggregate_id = '{order_id}' and seq = {sequence} and kind = 'event'"
        return str(self.value(f"select event_id from outbox where {where}"))

    def remove_from_tap(self, event_id: str) -> None:
        self.tap = [line for line in self.tap if line["event_id"] != event_id]

    def lines(self, act: str, order_id: str) -> list[dict[str, Any]]:
        return [line for line in self.ledger if (line["act"], line["order_id"]) == (act, order_id)]

    def record(self, act: str, order: Order, status: int) -> None:
        request = {"id": order.id, "price": 100.0, "tax": 10, "pickup": {"lat": -23.5505, "lng": -46.6333}}
        view = created_order_view(order) if act == "create" else order_view(order)
        body = json.loads(msgspec.json.encode(view))
        self.ledger.append(self.line(act, order.id, request if act == "create" else None, status, body))

    def line(self, act: str, order_id: str, request: object, status: int | None, response: object) -> dict[str, Any]:
        line: dict[str, Any] = {"at": "2026-01-01T00:00:00Z", "act": act, "order_id": order_id, "request": request}
        return {**line, "status": status, "response": response, "tries": 1}
