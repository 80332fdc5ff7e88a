"""The REST API: orders, drivers, problems and metrics."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client import REGISTRY

from gofleet.domain.driver import Driver
from gofleet.domain.errors import DriverBusy, GoFleetError, StaleOrder, Unavailable
from gofleet.domain.order import Order, Owner, Status
from gofleet.domain.principal import WORKER
from tests.logs import logged
from tests.makers import an_order
from tests.roles.conftest import World

ORDERS = "/api/v1/orders"
DRIVER = "/api/v1/drivers/ana"
POINT = {"lat": -23.55, "lng": -46.63}


def slug(response: httpx.Response) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["request_id"] == response.headers["x-request-id"]
    return problem["type"].removeprefix("/problems/")


async def transition(world: World, order_id: str, *, to: Status, driver_id: str = "ana") -> Order:
    order = await world.orders.get(order_id)
    if to is Status.DISPATCHED:
        order.dispatch(driver_id, by=WORKER)
    await world.save(order)
    return order


async def test_creates_an_order_and_returns_it_with_its_location(client: httpx.AsyncClient, world: World) -> None:
    order = {"id": "o-1", "price": 10.1, "tax": 0.2, "pickup": POINT, "dropoff": {"lat": 1, "lng": 2}}

    response = await client.post(ORDERS, json=order)

    assert response.status_code == 201
    assert response.headers["location"] == f"{ORDERS}/o-1"
    body = response.json()
    created_at = datetime.fromisoformat(body.pop("created_at"))
    assert datetime.now(UTC) - created_at < timedelta(seconds=10)
    assert datetime.fromisoformat(body.pop("waiting_since")) == created_at
    assert body == {
        **order,
        "final_price": 10.3,  # 10.1 + 0.2 in floats would be 10.299999999999999
        "status": "PENDING",
        "version": 1,
        "customer_id": None,
        "client_order_id": None,
        "driver_id": None,
        "reason": None,
        "dispatched_at": None,
        "delivered_at": None,
        "cancelled_at": None,
    }
    assert list(world.orders.rows) == ["o-1"]


async def test_an_order_has_the_data_that_its_client_sent(client: httpx.AsyncClient) -> None:
    data = {"reference": "A-1001", "items": [{"name": "Pizza", "quantity": 2}], "metadata": {"shop": "centro"}}
    order = {"id": "o-1", "price": 10, "tax": 1, **data}

    first = await client.post(ORDERS, json=order)
    repeated = await client.post(ORDERS, json=order)
    other = await client.post(ORDERS, json={**order, "metadata": {"shop": "norte"}})
    await client.post(ORDERS, json={"id": "o-2", "price": 1, "tax": 0, "reference": None, "items": [], "metadata": {}})

    assert (first.status_code, first.json()) == (201, first.json() | data)
    assert (repeated.status_code, repeated.content) == (200, first.content)
    assert (other.status_code, slug(other)) == (409, "order-taken")
    assert (await client.get(f"{ORDERS}/o-1")).json() == first.json()
    assert not (await client.get(f"{ORDERS}/o-2")).json().keys() & data.keys()
    listed = await client.get(ORDERS, params={"reference": "A-1001"})
    assert [each["id"] for each in listed.json()["items"]] == ["o-1"]
    refused = await client.get(ORDERS, params={"reference": "\u202e"})
    assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (422, "reference")


async def test_generates_an_id_for_an_order_without_one(client: httpx.AsyncClient, world: World) -> None:
    response = await client.post(ORDERS, json={"price": 1, "tax": 0})

    assert response.status_code == 201
    assert list(world.orders.rows) == [response.json()["id"]]
    assert (await client.get(response.headers["location"])).json() == response.json()


async def test_returns_the_same_body_to_a_repeated_request_whatever_the_status_of_the_order(
    client: httpx.AsyncClient, world: World
) -> None:
    order = {"id": "o-1", "price": 10, "tax": 1, "pickup": POINT}
    first = await client.post(ORDERS, json=order)
    await transition(world, "o-1", to=Status.DISPATCHED)
    assert (await client.post(f"{ORDERS}/o-1/deliver")).status_code == 200

    repeated = await client.post(ORDERS, json={**order, "price": 10.00})

    assert repeated.status_code == 200
    assert repeated.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert repeated.headers["location"] == first.headers["location"]
    assert repeated.content == first.content


@pytest.mark.parametrize("change", [{"price": 11}, {"tax": 2}, {"pickup": None}, {"dropoff": POINT}])
async def test_rejects_an_id_that_belongs_to_an_order_with_other_content(
    client: httpx.AsyncClient, change: dict[str, object]
) -> None:
    order = {"id": "o-1", "price": 10, "tax": 1, "pickup": POINT}
    await client.post(ORDERS, json=order)

    response = await client.post(ORDERS, json={**order, **change})

    assert (response.status_code, slug(response)) == (409, "order-taken")


async def test_shows_the_current_order_only_if_it_changed(client: httpx.AsyncClient, world: World) -> None:
    await world.orders.add(an_order("o-1"))
    first = await client.get(f"{ORDERS}/o-1")

    async def get(tag: str) -> httpx.Response:
        return await client.get(f"{ORDERS}/o-1", headers={"If-None-Match": tag})

    assert first.headers["etag"] == '"1"'
    for tag in ('"1"', 'W/"1"', '"7", "1"', "*"):
        unchanged = await get(tag)
        assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", '"1"')
    await transition(world, "o-1", to=Status.DISPATCHED)
    changed = await get('"1"')
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert (changed.json()["status"], changed.json()["driver_id"]) == ("DISPATCHED", "ana")
    assert changed.json()["dispatched_at"] is not None
    assert (first.json()["waiting_since"] is None, changed.json()["waiting_since"]) == (False, None)


@pytest.mark.parametrize(("method", "verb"), [("GET", ""), ("POST", "/cancel"), ("POST", "/deliver")])
async def test_does_not_find_an_unknown_order(client: httpx.AsyncClient, method: str, verb: str) -> None:
    response = await client.request(method, f"{ORDERS}/unknown{verb}")

    assert (response.status_code, slug(response)) == (404, "no-such-order")


async def test_cancel_is_idempotent(client: httpx.AsyncClient, world: World) -> None:
    await world.orders.add(an_order("o-1"))

    first = await client.post(f"{ORDERS}/o-1/cancel")
    repeated = await client.post(f"{ORDERS}/o-1/cancel")

    assert (first.status_code, first.json()["status"], first.headers["etag"]) == (200, "CANCELLED", '"2"')
    assert (repeated.status_code, repeated.content) == (200, first.content)


async def test_a_transition_that_the_status_forbids_is_a_conflict(client: httpx.AsyncClient, world: World) -> None:
    await world.orders.add(an_order("o-1"))

    response = await client.post(f"{ORDERS}/o-1/deliver")

    assert (response.status_code, slug(response)) == (409, "invalid-transition")
    assert world.orders.rows["o-1"].status is Status.PENDING


@pytest.mark.parametrize("lost", [StaleOrder("o-1", 1), DriverBusy("ana")])
async def test_a_lost_race_is_a_conflict(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch, lost: GoFleetError
) -> None:
    async def lose(order: Order) -> None:
        raise lost

    await world.orders.add(an_order("o-1"))
    monkeypatch.setattr(world.orders, "save", lose)
    response = await client.post(f"{ORDERS}/o-1/cancel")

    assert (response.status_code, slug(response)) == (409, lost.code)


async def test_pages_contain_each_order_once_newest_first(client: httpx.AsyncClient, world: World) -> None:
    for number in range(7):
        await world.orders.add(an_order(f"o-{number}"))
    same_time = world.orders.rows["o-3"].created_at
    world.orders.rows["o-4"].created_at = same_time  # the id must break the tie

    seen: list[str] = []
    query: dict[str, str | int] = {"limit": 2}
    while True:
        page = (await client.get(ORDERS, params=query)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
        if len(seen) == 2:
            await world.orders.add(an_order("later"))

    assert seen == ["o-6", "o-5", "o-4", "o-3", "o-2", "o-1", "o-0"]


async def test_filters_the_list_of_orders(client: httpx.AsyncClient, world: World) -> None:
    for name in ("o-1", "o-2", "o-3"):
        await world.orders.add(an_order(name))
    await transition(world, "o-2", to=Status.DISPATCHED, driver_id="bia")
    middle = world.orders.rows["o-2"].created_at
    assert middle is not None

    async def ids(**query: str) -> list[str]:
        return [item["id"] for item in (await client.get(ORDERS, params=query)).json()["items"]]

    assert await ids(status="DISPATCHED") == ["o-2"]
    assert await ids(driver_id="bia") == ["o-2"]
    assert await ids(status="PENDING") == ["o-3", "o-1"]
    assert await ids(created_after=middle.isoformat()) == ["o-3"]
    assert await ids(driver_id="unknown") == []
    assert await ids(driver_id="null") == []


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("status=GONE", "status"),
        ("driver_id=%00", "driver_id"),
        ("created_after=yesterday", "created_after"),
        ("created_after=2024-01-01T00:00:00", "created_after"),
        ("created_after=0001-01-01T00:00:00%2B05:00", "created_after"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=many", "limit"),
        ("status=null", "status"),
        ("status=PENDING&status=PENDING", "status"),
        ("driver_id=", "driver_id"),
        ("created_after=0.5", "created_after"),
        ("created_after=null", "created_after"),
        ("limit=1&limit=2", "limit"),
        ("cursor=", "cursor"),
        ("cursor=!", "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("cursor=" + "A" * 1000, "cursor"),
        ("cursor=" + base64.urlsafe_b64encode(b"2024-01-01T00:00:00 o-1").decode(), "cursor"),
        ("cursor=" + base64.urlsafe_b64encode(b"2024-01-01T00:00:00Z o\0").decode(), "cursor"),
    ],
)
async def test_names_the_invalid_query_parameter(client: httpx.AsyncClient, query: str, parameter: str) -> None:
    response = await client.get(f"{ORDERS}?{query}")

    assert (response.status_code, slug(response)) == (422, "invalid")
    assert [fault["parameter"] for fault in response.json()["errors"]] == [parameter]


async def test_stores_a_driver_and_registers_it_with_the_fleet(client: httpx.AsyncClient, world: World) -> None:
    response = await client.put(DRIVER, json={"name": "Ana"})

    stored = {
        "id": "ana", "name": "Ana", "on_duty": True, "free": True, "state": "free", "order_id": None, "version": 1
    }  # fmt: skip
    assert (response.status_code, response.json()) == (200, stored)
    assert (await client.get(DRIVER)).json() == response.json()
    assert (await client.put(DRIVER, json={"name": "Ana", "on_duty": False})).json()["version"] == 2
    off_duty = Driver("ana", "Ana", on_duty=False, version=2, off_duty_by="client")
    assert world.fleet.drivers == [Driver("ana", "Ana"), off_duty]


async def test_stores_a_driver_and_answers_503_while_the_fleet_is_unavailable(
    client: httpx.AsyncClient, world: World
) -> None:
    world.fleet.unavailable = True

    response = await client.put(DRIVER, json={"name": "Ana"})

    assert (response.status_code, slug(response)) == (503, "fleet-unavailable")
    assert response.headers["retry-after"] == "3"
    assert "10.1.2.3" not in response.text
    assert await world.drivers.get("ana") == Driver("ana", "Ana")
    assert (await client.get(DRIVER)).status_code == 200
    assert (await client.post(ORDERS, json={"price": 1, "tax": 0})).status_code == 201


async def test_does_not_find_an_unknown_driver(client: httpx.AsyncClient) -> None:
    response = await client.get(DRIVER)

    assert (response.status_code, slug(response)) == (404, "no-such-driver")


async def test_passes_a_position_to_the_fleet_and_reports_an_ignored_older_one(
    client: httpx.AsyncClient, world: World
) -> None:
    await world.fleet.map.register(Driver("ana", "Ana"))
    newer = await client.put(f"{DRIVER}/position", json=POINT)
    older = await client.put(f"{DRIVER}/position", json={**POINT, "recorded_at": "2024-01-01T10:00:00-03:00"})

    assert (newer.status_code, newer.headers.get("position-ignored")) == (204, None)
    assert (older.status_code, older.headers.get("position-ignored")) == (204, "older")
    assert world.fleet.positions[1].recorded_at == datetime(2024, 1, 1, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nope", 404), ("POST", "/api/v1/nope", 404), ("GET", "/metrics", 404), ("DELETE", ORDERS, 405)],
)
async def test_answers_unknown_routes_and_methods_with_a_problem(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    response = await client.request(method, path)

    assert response.status_code == status
    assert slug(response) in {"not-found", "method-not-allowed"}


async def test_logs_an_internal_error_with_the_request_id_and_hides_it_from_the_client(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(order_id: str, owner: Owner | None = None) -> Order:
        raise RuntimeError(f"secret of {order_id}")

    monkeypatch.setattr(world.orders, "get", broken)
    with logged() as lines:
        response = await client.get(f"{ORDERS}/o-1", headers={"X-Request-Id": "r-1"})

    assert (response.status_code, slug(response)) == (500, "internal")
    assert "secret" not in response.text
    assert any("request failed" in line and "r-1" in line and "secret of o-1" in line for line in lines)


async def test_answers_503_with_retry_after_while_the_database_is_unavailable(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(order: Order) -> bool:
        raise Unavailable("the database", "connection refused by 10.1.2.3")

    monkeypatch.setattr(world.orders, "add", unavailable)
    response = await client.post(ORDERS, json={"price": 1, "tax": 0})

    assert (response.status_code, slug(response)) == (503, "unavailable")
    assert response.headers["retry-after"] == "1"
    assert "10.1.2.3" not in response.text


async def test_keeps_a_valid_request_id_and_replaces_an_invalid_one(client: httpx.AsyncClient) -> None:
    valid = await client.get(ORDERS, headers={"X-Request-Id": "client-7"})
    invalid = await client.get(ORDERS, headers={"X-Request-Id": 'x" onload="'})

    assert valid.headers["x-request-id"] == "client-7"
    assert len(invalid.headers["x-request-id"]) == 36


async def test_continues_the_trace_of_the_client(client: httpx.AsyncClient) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"

    response = await client.get("/nope", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})

    assert response.json()["trace_id"] == trace


async def test_metrics_have_the_route_and_never_the_path(client: httpx.AsyncClient) -> None:
    def count(method: str, route: str, status: int) -> float:
        labels = {"method": method, "route": route, "status": str(status)}
        return REGISTRY.get_sample_value("gofleet_http_request_duration_seconds_count", labels) or 0

    shown, unknown = count("GET", f"{ORDERS}/{{order_id}}", 404), count("OTHER", "none", 404)
    await client.get(f"{ORDERS}/o-1")
    await client.request("PROPFIND", "/some/thing")

    assert count("GET", f"{ORDERS}/{{order_id}}", 404) == shown + 1
    assert count("OTHER", "none", 404) == unknown + 1


async def test_serves_health_on_the_api_port(client: httpx.AsyncClient) -> None:
    assert [(await client.get(path)).status_code for path in ("/health", "/health/live", "/health/ready")] == [200] * 3
