"""Ids and idempotency keys belong to their owners: with verified tokens, over PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import httpx
import psycopg
import pytest

from gofleet.adapters.history_feed import HistoryFeed
from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.auth import Authenticator
from gofleet.adapters.http.server import serving
from gofleet.adapters.oidc.keys import JwksCache, Key
from gofleet.adapters.oidc.tokens import TokenRules, TokenVerifier
from gofleet.adapters.postgres.drivers import PostgresDrivers
from gofleet.adapters.postgres.history import PostgresHistory
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.pool import create_pool
from gofleet.domain.driver import Driver
from gofleet.domain.order import Order, Status
from gofleet.domain.order_ids import COMPUTED, HASH_CHARS
from gofleet.usecases.create_order import CreateOrder
from tests.auth.matrix import EXPECTED, ORDER, OWN, Call, calls
from tests.auth.mint import AUDIENCE, FIRST, ISSUER, claims, token
from tests.committed import committed_openapi
from tests.makers import CENTRE, an_order
from tests.roles.conftest import World

ORDERS = "/api/v1/orders"
BODY = {"price": 100.0, "tax": 10.0}
OPEN_MAX = 3
AT_ONCE = 50
ROUTES = [call for call in calls(committed_openapi()) if ORDER in call.path]
OWNERS_ROUTES = [call for call in ROUTES if (EXPECTED[call.operation] or {}).get("customer") == OWN]


async def keys() -> Mapping[str, Key]:
    return {"first": FIRST}


def bearer(name: str, role: str = "customer") -> dict[str, str]:
    return {"Authorization": f"Bearer {token(claims(sub=name, roles=[role]))}", "X-Request-Id": "same-for-all"}


ANA, BEA, SHOP, DORA = bearer("ana"), bearer("bea"), bearer("shop", "service"), bearer("dora", "dispatcher")
MARIA = bearer("maria", "driver")


@dataclass(frozen=True)
class Installation:
    client: httpx.AsyncClient
    orders: PostgresOrders
    database: str

    async def post(self, caller: dict[str, str], id: str | None = None, key: str | None = None, **body: object) -> Any:
        headers = caller if key is None else {**caller, "Idempotency-Key": key}
        named = {} if id is None else {"id": id}
        return await self.client.post(ORDERS, json={**BODY, **named, **body}, headers=headers)

    async def created(self, caller: dict[str, str], id: str) -> dict[str, Any]:
        answer = await self.post(caller, id)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def counts(self) -> tuple[int, int]:
        """Orders and events."""
        with psycopg.connect(self.database) as connection:
            row = connection.execute("select (select count(*) from orders), (select count(*) from outbox)").fetchone()
        assert row is not None
        return row[0], row[1]


@asynccontextmanager
async def installed(database: str) -> AsyncGenerator[Installation]:
    stop, cache = asyncio.Event(), JwksCache(keys)
    tokens = TokenVerifier(cache, TokenRules(ISSUER, frozenset({AUDIENCE})))
    async with create_pool(database, size=8, wait_seconds=5) as pool:
        orders = PostgresOrders(pool)
        for driver_id in ("maria", "joao"):
            await PostgresDrivers(pool).put(Driver(driver_id, driver_id.title()))
        world = World(depot=CENTRE)
        world.orders = cast("Any", orders)
        world.history = cast("Any", PostgresHistory(pool))
        world.feed = HistoryFeed(world.history, poll_seconds=0.02, window=100, page=10)
        feed = asyncio.create_task(world.feed.run(stop))
        api = replace(world.api(), create_order=CreateOrder(orders, OPEN_MAX))
        app = api_app(api, authenticator=Authenticator(tokens.principal))
        async with serving(app, "127.0.0.1", 0, grace_seconds=2) as listening:
            limits = httpx.Limits(max_connections=AT_ONCE)
            async with httpx.AsyncClient(base_url=listening.url, limits=limits, timeout=10, trust_env=False) as client:
                yield Installation(client, orders, database)
            world.stopping.set()
        stop.set()
        await feed
    await cache.close()


@pytest.fixture
async def api(clean_database: str) -> AsyncGenerator[Installation]:
    async with installed(clean_database) as api:
        yield api


def comparable(answer: httpx.Response, *names: str) -> tuple[int, str, dict[str, str]]:
    """Status, body and headers, without the date and with every one of `names` replaced."""
    body = answer.text
    for name in names:
        body = body.replace(name, "NAME")
    shown = {name: value for name, value in answer.headers.items() if name not in {"date", "content-length"}}
    return answer.status_code, body, shown


async def test_two_customers_and_a_service_use_the_same_id(api: Installation) -> None:
    first, second = await api.created(ANA, "shop-1001"), await api.created(BEA, "shop-1001")
    named = await api.created(SHOP, "shop-1001")

    assert first["client_order_id"] == second["client_order_id"] == "shop-1001"
    assert (named["id"], named["client_order_id"]) == ("shop-1001", None)
    assert len({first["id"], second["id"], named["id"]}) == 3
    assert first["id"].startswith(COMPUTED)
    for order in (first, second, named):
        seen = await api.client.get(f"{ORDERS}/{order['id']}", headers=DORA)
        assert seen.json() == order
    listed = (await api.client.get(ORDERS, headers=ANA)).json()["items"]
    assert [order["id"] for order in listed] == [first["id"]]
    assert (await api.client.get(f"{ORDERS}/shop-1001", headers=DORA)).json() == named


async def test_a_repeated_request_has_the_same_answer(api: Installation) -> None:
    first = await api.post(ANA, "shop-1001")
    assert first.headers["location"] == f"{ORDERS}/{first.json()['id']}"
    await api.client.post(f"{ORDERS}/shop-1001/cancel", headers=ANA)

    for repeated in (await api.post(ANA, "shop-1001"), await api.post(ANA, first.json()["id"])):
        assert (repeated.status_code, repeated.content) == (200, first.content)
        assert repeated.headers["location"] == first.headers["location"]
        assert repeated.headers["idempotent-replayed"] == "true"
    other = await api.post(ANA, "shop-1001", price=5.0)
    assert (other.status_code, other.json()["type"]) == (409, "/problems/order-taken")
    assert "shop-1001" in other.json()["detail"]


@pytest.mark.parametrize("call", OWNERS_ROUTES, ids=lambda call: call.operation)
async def test_a_customer_may_use_either_id_on_every_route(api: Installation, call: Call) -> None:
    names = ("shop-1001", (await api.created(ANA, "shop-1001"))["id"])

    answers = [
        await api.client.request(
            call.method, call.path.replace(ORDER, name), json=call.body, headers={**ANA, "If-Match": "*"}
        )
        for name in names
    ]

    assert {answer.status_code for answer in answers} == {200}
    assert comparable(answers[0]) == comparable(answers[1])


async def test_a_customer_follows_an_order_by_either_id(api: Installation) -> None:
    for number, by_own_id in enumerate((True, False)):
        order = await api.created(ANA, f"shop-{number}")
        other = await api.created(BEA, f"shop-{number}")
        query = {"order_id": order["client_order_id"] if by_own_id else order["id"]}
        async with api.client.stream("GET", f"{ORDERS}/stream", params=query, headers=ANA) as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            for id in (other["id"], order["id"]):
                await api.client.post(f"{ORDERS}/{id}/cancel", headers=DORA)
            event = json.loads(await anext(line[5:] async for line in lines if line.startswith("data:")))
        assert (event["order_id"], event["client_order_id"]) == (order["id"], order["client_order_id"])


@pytest.mark.parametrize("caller", [BEA, MARIA], ids=["customer", "driver"])
@pytest.mark.parametrize("call", ROUTES, ids=lambda call: call.operation)
async def test_a_foreign_id_is_answered_like_an_unknown_one(
    api: Installation, call: Call, caller: dict[str, str]
) -> None:
    foreign = await api.created(ANA, "shop-1001")
    dispatched = await api.orders.get(foreign["id"])
    dispatched.dispatch("joao", by="worker")
    await api.orders.save(dispatched)
    unknown = COMPUTED + "0" * HASH_CHARS

    for there, nowhere in ((foreign["id"], unknown), ("shop-1001", "shop-1002")):
        answers = [
            await api.client.request(
                call.method,
                call.path.replace(ORDER, name),
                json=call.body,
                headers={**caller, "If-Match": "*", "If-None-Match": "*"},
            )
            for name in (there, nowhere)
        ]
        assert comparable(answers[0], there, nowhere) == comparable(answers[1], there, nowhere)
        assert answers[0].status_code in {403, 404}


@pytest.mark.parametrize("open_orders", [0, OPEN_MAX])
async def test_the_creation_of_a_foreign_id_tells_nothing(api: Installation, open_orders: int) -> None:
    """A customer at the limit of open orders gets other answers, which do not depend on foreign orders either."""
    foreign = await api.created(ANA, "shop-1001")
    await api.created(SHOP, "till-1")
    for number in range(open_orders):
        await api.created(BEA, f"mine-{number}")

    for taken, free in ((foreign["id"], COMPUTED + "0" * HASH_CHARS), ("shop-1001", "shop-1002"), ("till-1", "till-2")):
        for price in (100.0, 5.0):
            answers = [await api.post(BEA, id, price=price) for id in (taken, free)]
            if answers[0].status_code == 201:
                ids = {answer.json()["id"] for answer in answers}
                assert len(ids) == 2
                assert foreign["id"] not in ids
                for id in ids:
                    await api.client.post(f"{ORDERS}/{id}/cancel", headers=BEA)
            assert answers[0].status_code == answers[1].status_code
            assert "location" in answers[0].headers or comparable(answers[0], taken) == comparable(answers[1], free)
            if taken == foreign["id"]:
                assert answers[0].status_code == 422


async def test_no_caller_names_a_new_order_like_a_computed_id(api: Installation) -> None:
    existing = await api.created(ANA, "shop-1001")

    for caller in (ANA, SHOP, DORA):
        refused = await api.post(caller, COMPUTED + "0" * HASH_CHARS)
        assert refused.json()["errors"] == [{"detail": "must not begin with own- for a new order", "pointer": "/id"}]
        repeated = await api.post(caller, existing["id"], customer_id="ana")
        assert (repeated.status_code, repeated.json()) == (200, existing)
        assert (await api.post(caller, existing["id"], customer_id="ana", price=5.0)).status_code == 409
    assert api.counts() == (1, 1)


@pytest.mark.parametrize(
    ("callers", "named"),
    [
        ((ANA, BEA), {"id": "cart-7"}),
        ((ANA, BEA), {"key": "cart-7"}),
        ((ANA, SHOP), {"id": "cart-7"}),
        ((ANA, SHOP), {"key": "cart-7"}),
        ((SHOP, DORA), {"key": "cart-7"}),
    ],
    ids=["customers", "customers by key", "service", "service by key", "staff by key"],
)
async def test_of_many_requests_at_once_each_owner_gets_one_order(
    api: Installation, callers: tuple[dict[str, str], dict[str, str]], named: dict[str, str]
) -> None:
    answers = await asyncio.gather(*(api.post(callers[n % 2], **named) for n in range(AT_ONCE)))

    for own in (answers[::2], answers[1::2]):
        assert sorted(answer.status_code for answer in own) == [200] * (AT_ONCE // 2 - 1) + [201]
        assert len({answer.content for answer in own}) == 1
    assert answers[0].json()["id"] != answers[1].json()["id"]
    assert api.counts() == (2, 2)


async def test_of_fifty_requests_with_one_key_one_creates_the_order(api: Installation) -> None:
    answers = await asyncio.gather(*(api.post(ANA, key="cart-7") for _ in range(AT_ONCE)))

    assert sorted(answer.status_code for answer in answers) == [200] * (AT_ONCE - 1) + [201]
    assert len({answer.content for answer in answers}) == 1
    assert api.counts() == (1, 1)


async def test_a_key_is_taken_as_the_id(api: Installation) -> None:
    by_key = await api.post(ANA, key="cart-7")
    assert by_key.json()["client_order_id"] == "cart-7"
    for again in (
        await api.post(ANA, key='"cart-7"'),
        await api.post(ANA, "cart-7"),
        await api.post(ANA, "cart-7", "cart-7"),
    ):
        assert (again.status_code, again.content) == (200, by_key.content)
    assert (await api.post(ANA, key="cart-7", price=5.0)).status_code == 409
    both = await api.post(ANA, "cart-7", "cart-8")
    assert both.json()["errors"] == [{"detail": "must equal the Idempotency-Key, if both are sent", "pointer": "/id"}]
    assert (await api.post(SHOP, "till-1", "till-1")).json()["id"] == "till-1"
    by_shop = (await api.post(SHOP, key="cart-7")).json()
    assert (by_shop["id"][:4], by_shop["client_order_id"]) == (COMPUTED, None)
    assert (await api.client.get(f"{ORDERS}/cart-7", headers=SHOP)).status_code == 404


async def test_a_repeated_header_is_refused(api: Installation) -> None:
    headers = [*ANA.items(), ("Idempotency-Key", "cart-7"), ("Idempotency-Key", "cart-7")]
    answer = await api.client.post(ORDERS, json=BODY, headers=headers)
    assert answer.json()["errors"] == [{"detail": "must be sent once", "parameter": "Idempotency-Key"}]
    assert api.counts() == (0, 0)


async def test_orders_of_before_are_found_and_not_created_again(api: Installation) -> None:
    """Until ids belonged to their owners, a customer's id was the order's id."""
    former = an_order("shop-1001", customer_id="ana", price="100", tax="10", pickup=None)
    assert await api.orders.add(former)

    repeated = await api.post(ANA, "shop-1001")
    assert (repeated.status_code, repeated.json()["id"], repeated.json()["client_order_id"]) == (200, "shop-1001", None)
    assert (await api.post(ANA, key="shop-1001")).content == repeated.content
    assert (await api.post(ANA, "shop-1001", price=5.0)).status_code == 409
    assert api.counts() == (1, 1)
    await api.created(BEA, "shop-1001")
    cancelled = await api.client.post(f"{ORDERS}/shop-1001/cancel", headers=ANA)
    assert cancelled.json()["status"] == Status.CANCELLED
    assert (await api.orders.get("shop-1001")).status is Status.CANCELLED


async def test_an_order_of_a_service_takes_precedence_over_the_customers_name(api: Installation) -> None:
    own = await api.created(ANA, "shop-1001")
    named = (await api.post(SHOP, "shop-1001", customer_id="ana", price=5.0)).json()

    assert (await api.client.get(f"{ORDERS}/shop-1001", headers=ANA)).json() == named
    assert (await api.client.get(f"{ORDERS}/{own['id']}", headers=ANA)).json() == own
    assert (await api.post(ANA, "shop-1001")).json() == own


async def test_a_redispatch_with_a_key_needs_a_tag(api: Installation) -> None:
    order = await api.orders.get((await api.created(SHOP, "till-1"))["id"])
    order.dispatch("maria", by="worker")
    await api.orders.save(order)
    headers = {**DORA, "Idempotency-Key": "k"}

    refused = await api.client.post(f"{ORDERS}/till-1/redispatch", headers=headers)
    assert refused.status_code == 422
    assert [error["parameter"] for error in refused.json()["errors"]] == ["Idempotency-Key"]
    moved = await api.client.post(f"{ORDERS}/till-1/redispatch", headers={**headers, "If-Match": '"2"'})
    assert moved.json()["status"] == "PENDING"
    cancelled = await api.client.post(f"{ORDERS}/till-1/cancel", headers=headers)
    assert cancelled.status_code == 200


async def test_an_api_of_the_previous_release_creates_no_second_order(api: Installation) -> None:
    """It stores a customer's id as the order's id."""
    await api.created(ANA, "shop-1001")

    def stored_by_former_api(id: str, customer_id: str) -> Order:
        order = an_order(id, customer_id=customer_id)
        order.actor = f"customer:{customer_id}"
        return order

    with pytest.raises(Exception, match="unavailable"):
        await api.orders.add(stored_by_former_api("shop-1001", "ana"))
    assert await api.orders.add(stored_by_former_api("shop-1002", "ana"))
    assert await api.orders.add(stored_by_former_api("shop-1001", "bea"))
