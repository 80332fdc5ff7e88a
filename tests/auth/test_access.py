"""Every route with every role, on resources of its own and of another owner."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from gofleet.adapters.http import auth
from gofleet.adapters.http.auth import ACCESS, Caller, authorise
from gofleet.domain.errors import PermissionDenied
from gofleet.domain.history import HistoryFilter
from gofleet.domain.order import Order, OrderFilter, Owner
from gofleet.domain.principal import Principal, Role, Scope
from tests.auth.matrix import (
    CALLERS,
    EVERY_SCOPE,
    EXPECTED,
    ORDER,
    OTHER,
    bearing,
    calls,
    serving_all,
    settled,
    violation,
    violations,
)
from tests.committed import committed_openapi
from tests.makers import CENTRE
from tests.roles.conftest import World

CALLS = {call.operation: call for call in calls(committed_openapi())}
EVERY_CALLER = [None, *CALLERS]


def test_every_route_has_a_row() -> None:
    assert EXPECTED.keys() == CALLS.keys()
    assert ACCESS.keys() == {name for name, expected in EXPECTED.items() if expected is not None}


@pytest.mark.parametrize("name", EVERY_CALLER, ids=str)
async def test_permissions_equal_the_table(name: str | None) -> None:
    assert await violations([CALLS[operation] for operation in EXPECTED], name) == []


def _always(*_: object, **__: object) -> bool:
    return True


def _any_role(principal: Principal, _: str) -> Caller:
    return Caller(principal)


def _nothing(*_: object) -> None:
    return None


MUTANTS: dict[str, tuple[Any, str, Any, str, str]] = {
    "owner of an order read": (Order, "is_of", _always, "showOrder", "customer-b"),
    "owner of an order cancelled": (Order, "is_of", _always, "cancelOrder", "customer-b"),
    "driver of an order delivered": (Order, "is_of", _always, "deliverOrder", "driver-y"),
    "owner of a timeline": (Order, "is_of", _always, "showTimeline", "driver-y"),
    "driver of a record": (Caller, "check_driver", _nothing, "showDriver", "driver-y"),
    "driver of a position": (Caller, "check_driver", _nothing, "moveDriver", "driver-y"),
    "the role": (auth, "authorise", _any_role, "listParkedMessages", "customer-a"),
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=list(MUTANTS))
async def test_each_predicate_is_needed(
    monkeypatch: pytest.MonkeyPatch, mutant: tuple[Any, str, Any, str, str]
) -> None:
    where, name, instead, operation, caller = mutant
    monkeypatch.setattr(where, name, instead)

    assert await violation(CALLS[operation], caller) is not None


@pytest.mark.parametrize("scope", Scope)
def test_a_token_without_the_scope_is_denied(scope: Scope) -> None:
    admin = Principal.named("m", frozenset(Role), EVERY_SCOPE - {scope})
    for operation, row in ACCESS.items():
        if row.scope is not scope:
            assert authorise(admin, operation).owner is None
            continue
        with pytest.raises(PermissionDenied, match=scope) as refused:
            authorise(admin, operation)
        assert refused.value.scope == scope


def test_an_operation_without_a_row_is_denied() -> None:
    with pytest.raises(PermissionDenied):
        authorise(Principal.named("m", frozenset(Role), EVERY_SCOPE), "dropEverything")


def test_a_principal_with_several_roles_owns_by_each_of_them() -> None:
    both = Principal.named("ana", frozenset({Role.CUSTOMER, Role.DRIVER}), EVERY_SCOPE)
    assert authorise(both, "listOrders").owner == Owner("ana", "ana")
    assert authorise(both, "cancelOrder").owner == Owner("ana", None)
    assert authorise(both, "showDriver").owner == Owner(None, "ana")


@pytest.fixture
async def world() -> World:
    world = World(depot=CENTRE)
    await settled(world)
    return world


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with serving_all(world) as client:
        yield client


@pytest.mark.parametrize(
    ("name", "seen"), [("customer-a", [ORDER]), ("driver-y", [OTHER]), ("admin-m", [OTHER, ORDER])]
)
async def test_a_list_shows_own_orders(client: httpx.AsyncClient, name: str, seen: list[str]) -> None:
    answer = await client.get("/api/v1/orders", headers=bearing(name))
    assert [order["id"] for order in answer.json()["items"]] == seen


async def test_a_filter_shows_no_foreign_orders(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/orders?driver_id=driver-y", headers=bearing("driver-x"))
    assert answer.json() == {"items": [], "next_cursor": None}


async def test_a_customer_creates_orders_for_itself(client: httpx.AsyncClient, world: World) -> None:
    order = {"id": "new", "price": 10.0, "tax": 1.0}
    answer = await client.post("/api/v1/orders", json=order, headers=bearing("customer-a"))
    created = answer.json()
    assert (answer.status_code, created["customer_id"], created["client_order_id"]) == (201, "customer-a", "new")
    assert (await world.orders.get(created["id"])).customer_id == "customer-a"
    assert world.orders.log[-1].actor == "customer:customer-a"
    again = await client.post(
        "/api/v1/orders", json={**order, "customer_id": "customer-a"}, headers=bearing("customer-a")
    )
    assert (again.status_code, again.json()) == (200, created)


async def test_a_customer_cannot_create_an_order_for_another(client: httpx.AsyncClient, world: World) -> None:
    order = {"id": "new", "price": 10.0, "tax": 1.0, "customer_id": "customer-b"}
    answer = await client.post("/api/v1/orders", json=order, headers=bearing("customer-a"))
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"detail": "must be left out, or be your own", "pointer": "/customer_id"}]
    assert "new" not in world.orders.rows
    allowed = await client.post("/api/v1/orders", json=order, headers=bearing("service-s"))
    assert (allowed.status_code, allowed.json()["customer_id"]) == (201, "customer-b")


async def test_a_timeline_shows_roles_instead_of_names(client: httpx.AsyncClient) -> None:
    await client.post(f"/api/v1/orders/{ORDER}/redispatch", headers=bearing("dispatcher-d"))
    answer = await client.get(f"/api/v1/orders/{ORDER}/events", headers=bearing("customer-a"))
    assert [event["actor"] for event in answer.json()["items"]] == ["client", "worker", "dispatcher"]
    full = await client.get(f"/api/v1/orders/{ORDER}/events", headers=bearing("admin-m"))
    assert full.json()["items"][-1]["actor"] == "dispatcher:dispatcher-d"


async def test_a_driver_sees_no_other_driver_of_an_order(client: httpx.AsyncClient) -> None:
    await client.post(f"/api/v1/orders/{OTHER}/deliver", headers=bearing("driver-y"))
    await client.post(f"/api/v1/orders/{ORDER}/redispatch", headers=bearing("dispatcher-d"))
    body = {"driver_id": "driver-y"}
    version = {"If-Match": (await client.get(f"/api/v1/orders/{ORDER}", headers=bearing("admin-m"))).headers["etag"]}
    again = await client.post(f"/api/v1/orders/{ORDER}/dispatch", json=body, headers=bearing("dispatcher-d") | version)
    assert again.status_code == 200, again.text

    async def drivers(name: str) -> list[str | None]:
        answer = await client.get(f"/api/v1/orders/{ORDER}/events", headers=bearing(name))
        return [event["driver_id"] for event in answer.json()["items"]]

    assert await drivers("driver-y") == [None, None, None, "driver-y"]
    assert await drivers("customer-a") == await drivers("admin-m") == [None, "driver-x", None, "driver-y"]


async def _followed(client: httpx.AsyncClient, name: str, act: Callable[[], Any], count: int) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    async with client.stream("GET", "/api/v1/orders/stream", headers=bearing(name)) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        await act()
        async for line in lines:
            if line.startswith("data:"):
                events.append(json.loads(line.removeprefix("data:")))
            if len(events) == count:
                break
    return events


async def test_a_stream_has_own_orders_only(client: httpx.AsyncClient) -> None:
    async def act() -> None:
        await client.post(f"/api/v1/orders/{OTHER}/deliver", headers=bearing("driver-y"))
        await client.post(f"/api/v1/orders/{ORDER}/redispatch", headers=bearing("dispatcher-d"))
        await client.post(f"/api/v1/orders/{ORDER}/cancel", headers=bearing("customer-a"))

    customer = await _followed(client, "customer-a", act, 2)
    assert [(event["order_id"], event["type"]) for event in customer] == [
        (ORDER, "orders.redispatched"),
        (ORDER, "orders.cancelled"),
    ]
    assert [event["actor"] for event in customer] == ["dispatcher", "customer:customer-a"]


async def test_a_driver_receives_the_redispatch_of_its_order(client: httpx.AsyncClient) -> None:
    async def act() -> None:
        await client.post(f"/api/v1/orders/{OTHER}/redispatch", headers=bearing("dispatcher-d"))
        await client.post(f"/api/v1/orders/{ORDER}/redispatch", headers=bearing("dispatcher-d"))

    [event] = await _followed(client, "driver-x", act, 1)
    assert (event["order_id"], event["type"], event["driver_id"]) == (ORDER, "orders.redispatched", None)


async def test_a_map_of_drivers_is_not_for_customers(client: httpx.AsyncClient) -> None:
    url = "/api/v1/orders/stream?bbox=-46.7,-23.6,-46.6,-23.5"
    answer = await client.get(url, headers=bearing("customer-a"))
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")


@pytest.mark.parametrize(
    ("value", "challenge"),
    [
        (None, 'Bearer realm="gofleet"'),
        ("", 'Bearer realm="gofleet", error="invalid_token"'),
        ("Bearer", 'Bearer realm="gofleet", error="invalid_token"'),
        ("Bearer unknown", 'Bearer realm="gofleet", error="invalid_token"'),
        ("Basic YWRtaW46YWRtaW4=", 'Bearer realm="gofleet", error="invalid_token"'),
    ],
)
async def test_an_unauthenticated_request_gets_a_challenge(
    client: httpx.AsyncClient, value: str | None, challenge: str
) -> None:
    answer = await client.get("/api/v1/orders", headers={} if value is None else {"Authorization": value})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, challenge)
    assert answer.json()["type"] == "/problems/unauthenticated"


async def test_two_tokens_are_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/orders", headers=[("Authorization", "Bearer admin-m")] * 2)
    assert answer.status_code == 401


async def test_the_scheme_is_case_insensitive(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/orders", headers={"Authorization": "bEARER admin-m"})).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/docs", "/api/v1/openapi.json", "/health/live", "/problems/forbidden"])
async def test_public_routes_need_no_token(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 200


def test_filters_without_an_owner_match_every_order() -> None:
    assert OrderFilter().owner is None
    assert HistoryFilter().owner is None
