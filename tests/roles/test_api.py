"""What the REST API promises to those who use it rightly."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client import REGISTRY

from gofleet.domain.driver import Driver
from gofleet.domain.errors import DriverBusy, GoFleetError, StaleOrder, Unavailable
from gofleet.domain.order import Order, Status
from gofleet.domain.principal import WORKER
from tests.logs import logged
from tests.makers import an_order
from tests.roles.conftest import World

ORDERS = "/api/v1/orders"
DRIVER = "/api/v1/drivers/ana"
POINT = {"lat": -23.55, "lng": -46.63}


def slug(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem["type"].removeprefix("/problems/")


async def moved(world: World, order_id: str, *, to: Status, driver_id: str = "ana") -> Order:
    order = await world.orders.get(order_id)
    if to is Status.DISPATCHED:
        order.dispatch(driver_id, by=WORKER)
    await world.orders.save(order)
    return order


async def test_a_created_order_is_answered_whole_and_with_its_place(client: httpx.AsyncClient, world: World) -> None:
    wanted = {"id": "o-1", "price": 10.1, "tax": 0.2, "pickup": POINT, "dropoff": {"lat": 1, "lng": 2}}

    answer = await client.post(ORDERS, json=wanted)

    assert answer.status_code == 201
    assert answer.headers["location"] == f"{ORDERS}/o-1"
    body = answer.json()
    created_at = datetime.fromisoformat(body.pop("created_at"))
    assert datetime.now(UTC) - created_at < timedelta(seconds=10)
    assert body == {
        **wanted,
        "final_price": 10.3,  # 10.1 + 0.2 in floats would be 10.299999999999999
        "status": "PENDING",
        "version": 1,
        "customer_id": None,
        "driver_id": None,
        "reason": None,
        "dispatched_at": None,
        "delivered_at": None,
        "cancelled_at": None,
    }
    assert list(world.orders.rows) == ["o-1"]


async def test_an_order_without_an_id_gets_one(client: httpx.AsyncClient, world: World) -> None:
    answer = await client.post(ORDERS, json={"price": 1, "tax": 0})

    assert answer.status_code == 201
    assert list(world.orders.rows) == [answer.json()["id"]]
    assert (await client.get(answer.headers["location"])).json() == answer.json()


async def test_a_repeated_request_is_answered_byte_for_byte_the_same_whatever_became_of_the_order(
    client: httpx.AsyncClient, world: World
) -> None:
    wanted = {"id": "o-1", "price": 10, "tax": 1, "pickup": POINT}
    first = await client.post(ORDERS, json=wanted)
    await moved(world, "o-1", to=Status.DISPATCHED)
    assert (await client.post(f"{ORDERS}/o-1/deliver")).status_code == 200

    again = await client.post(ORDERS, json={**wanted, "price": 10.00})

    assert again.status_code == 200
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert again.headers["location"] == first.headers["location"]
    assert again.content == first.content


@pytest.mark.parametrize("change", [{"price": 11}, {"tax": 2}, {"pickup": None}, {"dropoff": POINT}])
async def test_an_id_with_other_content_is_taken(client: httpx.AsyncClient, change: dict[str, object]) -> None:
    wanted = {"id": "o-1", "price": 10, "tax": 1, "pickup": POINT}
    await client.post(ORDERS, json=wanted)

    answer = await client.post(ORDERS, json={**wanted, **change})

    assert (answer.status_code, slug(answer)) == (409, "order-taken")


async def test_an_order_is_shown_as_it_is_now_and_only_if_it_changed(client: httpx.AsyncClient, world: World) -> None:
    await world.orders.add(an_order("o-1"))
    first = await client.get(f"{ORDERS}/o-1")

    async def ask(tag: str) -> httpx.Response:
        return await client.get(f"{ORDERS}/o-1", headers={"If-None-Match": tag})

    assert first.headers["etag"] == '"1"'
    for tag in ('"1"', 'W/"1"', '"7", "1"', "*"):
        unchanged = await ask(tag)
        assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", '"1"')
    await moved(world, "o-1", to=Status.DISPATCHED)
    changed = await ask('"1"')
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert (changed.json()["status"], changed.json()["driver_id"]) == ("DISPATCHED", "ana")
    assert changed.json()["dispatched_at"] is not None


@pytest.mark.parametrize(("method", "verb"), [("GET", ""), ("POST", "/cancel"), ("POST", "/deliver")])
async def test_an_unknown_order_is_not_found(client: httpx.AsyncClient, method: str, verb: str) -> None:
    answer = await client.request(method, f"{ORDERS}/nobody{verb}")

    assert (answer.status_code, slug(answer)) == (404, "no-such-order")


async def test_cancel_is_idempotent(client: httpx.AsyncClient, world: World) -> None:
    await world.orders.add(an_order("o-1"))

    first = await client.post(f"{ORDERS}/o-1/cancel")
    again = await client.post(f"{ORDERS}/o-1/cancel")

    assert (first.status_code, first.json()["status"], first.headers["etag"]) == (200, "CANCELLED", '"2"')
    assert (again.status_code, again.content) == (200, first.content)


async def test_a_move_that_the_status_forbids_is_a_conflict(client: httpx.AsyncClient, world: World) -> None:
    await world.orders.add(an_order("o-1"))

    answer = await client.post(f"{ORDERS}/o-1/deliver")

    assert (answer.status_code, slug(answer)) == (409, "invalid-transition")
    assert world.orders.rows["o-1"].status is Status.PENDING


@pytest.mark.parametrize("lost", [StaleOrder("o-1", 1), DriverBusy("ana")])
async def test_a_race_that_was_lost_is_a_conflict(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch, lost: GoFleetError
) -> None:
    async def beaten(order: Order) -> None:
        raise lost

    await world.orders.add(an_order("o-1"))
    monkeypatch.setattr(world.orders, "save", beaten)
    answer = await client.post(f"{ORDERS}/o-1/cancel")

    assert (answer.status_code, slug(answer)) == (409, lost.code)


async def test_paging_shows_every_order_once_newest_first(client: httpx.AsyncClient, world: World) -> None:
    for number in range(7):
        await world.orders.add(an_order(f"o-{number}"))
    same_moment = world.orders.rows["o-3"].created_at
    world.orders.rows["o-4"].created_at = same_moment  # the id must break the tie

    seen: list[str] = []
    query: dict[str, str | int] = {"limit": 2}
    while True:
        page = (await client.get(ORDERS, params=query)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
        if len(seen) == 2:
            await world.orders.add(an_order("newcomer"))

    assert seen == ["o-6", "o-5", "o-4", "o-3", "o-2", "o-1", "o-0"]


async def test_a_list_can_be_narrowed(client: httpx.AsyncClient, world: World) -> None:
    for name in ("o-1", "o-2", "o-3"):
        await world.orders.add(an_order(name))
    await moved(world, "o-2", to=Status.DISPATCHED, driver_id="bia")
    middle = world.orders.rows["o-2"].created_at
    assert middle is not None

    async def ids(**query: str) -> list[str]:
        return [item["id"] for item in (await client.get(ORDERS, params=query)).json()["items"]]

    assert await ids(status="DISPATCHED") == ["o-2"]
    assert await ids(driver_id="bia") == ["o-2"]
    assert await ids(status="PENDING") == ["o-3", "o-1"]
    assert await ids(created_after=middle.isoformat()) == ["o-3"]
    assert await ids(driver_id="nobody") == []
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
async def test_a_bad_query_names_its_parameter(client: httpx.AsyncClient, query: str, parameter: str) -> None:
    answer = await client.get(f"{ORDERS}?{query}")

    assert (answer.status_code, slug(answer)) == (422, "invalid")
    assert [fault["parameter"] for fault in answer.json()["errors"]] == [parameter]


async def test_a_driver_is_kept_and_the_fleet_told(client: httpx.AsyncClient, world: World) -> None:
    answer = await client.put(DRIVER, json={"name": "Ana"})

    kept = {"id": "ana", "name": "Ana", "on_duty": True, "free": True, "order_id": None, "version": 1}
    assert (answer.status_code, answer.json()) == (200, kept)
    assert (await client.get(DRIVER)).json() == answer.json()
    assert (await client.put(DRIVER, json={"name": "Ana", "on_duty": False})).json()["version"] == 2
    assert world.fleet.drivers == [Driver("ana", "Ana"), Driver("ana", "Ana", on_duty=False, version=2)]


async def test_with_the_fleet_away_a_driver_is_kept_but_not_promised(client: httpx.AsyncClient, world: World) -> None:
    world.fleet.away = True

    answer = await client.put(DRIVER, json={"name": "Ana"})

    assert (answer.status_code, slug(answer)) == (503, "fleet-unavailable")
    assert answer.headers["retry-after"] == "3"
    assert "10.1.2.3" not in answer.text
    assert await world.drivers.get("ana") == Driver("ana", "Ana")
    assert (await client.get(DRIVER)).status_code == 200
    assert (await client.post(ORDERS, json={"price": 1, "tax": 0})).status_code == 201


async def test_an_unknown_driver_is_not_found(client: httpx.AsyncClient) -> None:
    answer = await client.get(DRIVER)

    assert (answer.status_code, slug(answer)) == (404, "no-such-driver")


async def test_a_position_goes_to_the_fleet_and_an_older_one_is_ignored_aloud(
    client: httpx.AsyncClient, world: World
) -> None:
    newer = await client.put(f"{DRIVER}/position", json=POINT)
    older = await client.put(f"{DRIVER}/position", json={**POINT, "recorded_at": "2024-01-01T10:00:00-03:00"})

    assert (newer.status_code, newer.headers.get("position-ignored")) == (204, None)
    assert (older.status_code, older.headers.get("position-ignored")) == (204, "older")
    assert world.fleet.positions[1].recorded_at == datetime(2024, 1, 1, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nope", 404), ("POST", "/api/v1/nope", 404), ("GET", "/metrics", 404), ("DELETE", ORDERS, 405)],
)
async def test_what_no_route_answers_is_a_problem_too(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await client.request(method, path)

    assert answer.status_code == status
    assert slug(answer) in {"not-found", "method-not-allowed"}


async def test_our_own_failure_is_logged_with_the_request_id_and_tells_the_client_nothing(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(order_id: str) -> Order:
        raise RuntimeError(f"secret of {order_id}")

    monkeypatch.setattr(world.orders, "get", broken)
    with logged() as lines:
        answer = await client.get(f"{ORDERS}/o-1", headers={"X-Request-Id": "r-1"})

    assert (answer.status_code, slug(answer)) == (500, "internal")
    assert "secret" not in answer.text
    assert any("request failed" in line and "r-1" in line and "secret of o-1" in line for line in lines)


async def test_an_unreachable_database_is_503_with_a_time_to_come_back(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(order: Order) -> bool:
        raise Unavailable("the database", "connection refused by 10.1.2.3")

    monkeypatch.setattr(world.orders, "add", away)
    answer = await client.post(ORDERS, json={"price": 1, "tax": 0})

    assert (answer.status_code, slug(answer)) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert "10.1.2.3" not in answer.text


async def test_a_sane_request_id_is_kept_and_any_other_replaced(client: httpx.AsyncClient) -> None:
    kept = await client.get(ORDERS, headers={"X-Request-Id": "client-7"})
    replaced = await client.get(ORDERS, headers={"X-Request-Id": 'x" onload="'})

    assert kept.headers["x-request-id"] == "client-7"
    assert len(replaced.headers["x-request-id"]) == 36


async def test_a_trace_begun_by_the_client_goes_on_here(client: httpx.AsyncClient) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"

    answer = await client.get("/nope", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})

    assert answer.json()["trace_id"] == trace


async def test_metrics_name_the_route_and_never_the_path(client: httpx.AsyncClient) -> None:
    def count(method: str, route: str, status: int) -> float:
        labels = {"method": method, "route": route, "status": str(status)}
        return REGISTRY.get_sample_value("gofleet_http_request_duration_seconds_count", labels) or 0

    shown, unknown = count("GET", f"{ORDERS}/{{order_id}}", 404), count("OTHER", "none", 404)
    await client.get(f"{ORDERS}/o-1")
    await client.request("PROPFIND", "/some/thing")

    assert count("GET", f"{ORDERS}/{{order_id}}", 404) == shown + 1
    assert count("OTHER", "none", 404) == unknown + 1


async def test_health_is_on_the_api_port_too(client: httpx.AsyncClient) -> None:
    assert [(await client.get(path)).status_code for path in ("/health", "/health/live", "/health/ready")] == [200] * 3
