"""What the routes of drivers promise to those who use them rightly."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from gofleet.domain.driver import Driver
from gofleet.domain.order import Status
from gofleet.domain.principal import WORKER
from tests.makers import CENTRE, a_position, an_order
from tests.roles.conftest import World
from tests.roles.test_api import slug

DRIVERS = "/api/v1/drivers"
ANA = f"{DRIVERS}/ana"
TOWN = f"{CENTRE.lng - 0.1},{CENTRE.lat - 0.1},{CENTRE.lng + 0.1},{CENTRE.lat + 0.1}"


async def give(world: World, driver_id: str) -> str:
    """A live order for the driver."""
    order = an_order(f"of-{driver_id}")
    await world.orders.add(order)
    order.dispatch(driver_id, by=WORKER)
    await world.orders.save(order)
    return order.id


async def listed(client: httpx.AsyncClient, **query: object) -> list[str]:
    answer = await client.get(DRIVERS, params={name: str(value) for name, value in query.items()})
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


async def test_a_driver_is_shown_with_its_order_and_only_if_something_changed(
    client: httpx.AsyncClient, world: World
) -> None:
    await client.put(ANA, json={"name": "Ana"})
    first = await client.get(ANA)
    assert first.json() == {
        "id": "ana", "name": "Ana", "on_duty": True, "free": True, "order_id": None, "version": 1
    }  # fmt: skip
    assert first.headers["etag"] == '"1"'

    async def ask(tag: str) -> httpx.Response:
        return await client.get(ANA, headers={"If-None-Match": tag})

    assert ((await ask('"1"')).status_code, (await ask("*")).status_code) == (304, 304)
    await give(world, "ana")
    busy = await ask('"1"')
    assert (busy.status_code, busy.json()["order_id"], busy.json()["free"]) == (200, "of-ana", False)
    assert busy.headers["etag"] == '"1/of-ana"'
    assert (await ask('"1/of-ana"')).status_code == 304


async def test_a_driver_is_changed_only_as_it_was_seen(client: httpx.AsyncClient, world: World) -> None:
    await client.put(ANA, json={"name": "Ana"})

    async def put(name: str, tag: str) -> httpx.Response:
        return await client.put(ANA, json={"name": name}, headers={"If-Match": tag})

    changed = await put("Bia", '"1"')
    assert (changed.status_code, changed.json()["version"], changed.headers["etag"]) == (200, 2, '"2"')
    stale = await put("Cai", '"1"')
    assert (stale.status_code, slug(stale), stale.headers["etag"]) == (412, "version-mismatch", '"2"')
    assert (await put("Cai", 'W/"2"')).status_code == 412
    assert world.fleet.drivers == [Driver("ana", "Ana"), Driver("ana", "Bia", version=2)]

    again = await put("Bia", '"1"')  # as one who did not hear the answer would
    assert (again.status_code, again.content) == (200, changed.content)
    await give(world, "ana")
    assert (await put("Dora", (await client.get(ANA)).headers["etag"])).json()["version"] == 3
    assert (await put("Eva", "*")).json()["version"] == 4


@pytest.mark.parametrize("tag", ["*", '"1"'])
async def test_with_if_match_nobody_new_is_registered(client: httpx.AsyncClient, world: World, tag: str) -> None:
    answer = await client.put(ANA, json={"name": "Ana"}, headers={"If-Match": tag})

    assert (answer.status_code, slug(answer), answer.headers.get("etag")) == (412, "version-mismatch", None)
    assert (world.drivers.rows, world.fleet.drivers) == ({}, [])


async def test_a_tag_that_is_none_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.put(ANA, json={"name": "Ana"}, headers={"If-Match": "1"})

    assert (answer.status_code, slug(answer)) == (400, "malformed-tag")


async def test_duty_is_kept_and_told(client: httpx.AsyncClient, world: World) -> None:
    await client.put(ANA, json={"name": "Ana"})
    await give(world, "ana")

    off = await client.put(f"{ANA}/duty", json={"on_duty": False})
    again = await client.put(f"{ANA}/duty", json={"on_duty": False})

    assert (off.status_code, off.json()["on_duty"], off.json()["order_id"]) == (200, False, "of-ana")
    assert (off.headers["etag"], again.content) == ('"2/of-ana"', off.content)
    assert [driver.on_duty for driver in world.fleet.drivers] == [True, False, False]


async def test_nobody_unknown_goes_on_duty(client: httpx.AsyncClient, world: World) -> None:
    answer = await client.put(f"{ANA}/duty", json={"on_duty": True})

    assert (answer.status_code, slug(answer)) == (404, "no-such-driver")
    assert world.fleet.drivers == []


async def test_a_driver_is_located(client: httpx.AsyncClient, world: World) -> None:
    unknown = await client.get(f"{ANA}/position")
    assert (unknown.status_code, slug(unknown)) == (404, "no-position")

    fix = a_position("ana")
    await world.fleet.map.update_positions([fix])
    at = (await client.get(f"{ANA}/position")).json()
    assert datetime.fromisoformat(at.pop("recorded_at")) == fix.recorded_at
    assert at == {"lat": CENTRE.lat, "lng": CENTRE.lng, "free": True}


async def test_records_are_listed_by_id_a_page_at_a_time_without_the_fleet(
    client: httpx.AsyncClient, world: World
) -> None:
    for number in range(7):
        await world.drivers.put(Driver(f"d-{number}", "D", on_duty=number != 3))
    await give(world, "d-5")
    world.fleet.away = True

    seen: list[str] = []
    query = {"limit": "3"}
    while True:
        page = (await client.get(DRIVERS, params=query)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]

    assert seen == [f"d-{number}" for number in range(7)]
    assert await listed(client, free="true") == ["d-0", "d-1", "d-2", "d-4", "d-6"]
    assert await listed(client, free="false") == ["d-3", "d-5"]
    assert await listed(client, on_duty="false") == ["d-3"]
    assert await listed(client, free="false", on_duty="true") == ["d-5"]
    assert "position" not in page["items"][0]


async def test_a_map_shows_the_nearest_to_its_middle_first_with_their_positions(
    client: httpx.AsyncClient, world: World
) -> None:
    await world.drivers.put(Driver("ana", "Ana"))
    await world.fleet.map.update_positions([a_position("ana", metres_north=10), a_position("bia", metres_north=500)])
    await world.fleet.map.update_positions([a_position("far", metres_north=50_000)])

    page = (await client.get(DRIVERS, params={"bbox": TOWN})).json()

    assert page["next_cursor"] is None
    ana, bia = page["items"]
    at = ana.pop("position")
    assert ana == {"id": "ana", "name": "Ana", "on_duty": True, "free": True, "order_id": None, "version": 1}
    assert (at["lng"], set(at)) == (CENTRE.lng, {"lat", "lng", "recorded_at"})
    assert datetime.fromisoformat(at["recorded_at"]).tzinfo == UTC
    assert (bia["id"], bia["name"], bia["version"]) == ("bia", "bia", 0)
    assert await listed(client, bbox=TOWN, limit=1) == ["ana"]


async def test_a_map_shows_as_free_only_whom_the_database_believes_to_be(
    client: httpx.AsyncClient, world: World
) -> None:
    for driver_id in ("busy", "free", "off"):
        await world.drivers.put(Driver(driver_id, driver_id, on_duty=driver_id != "off"))
    await world.fleet.map.update_positions([a_position(driver_id) for driver_id in ("busy", "free", "off")])
    await give(world, "busy")  # the fleet has not heard of it yet, nor of the duty of the third

    assert await listed(client, bbox=TOWN, free="true") == ["free"]
    assert await listed(client, bbox=TOWN, on_duty="true") == ["busy", "free"]
    items = (await client.get(DRIVERS, params={"bbox": TOWN})).json()["items"]
    assert {item["id"]: item["free"] for item in items} == {"busy": False, "free": True, "off": False}


async def test_many_positions_are_taken_at_once(client: httpx.AsyncClient, world: World) -> None:
    await world.fleet.map.update_positions([a_position("bia")])
    fixes = [{"driver_id": f"d-{number}", "lat": CENTRE.lat, "lng": CENTRE.lng} for number in range(498)]
    older = {"driver_id": "bia", "lat": 1, "lng": 2, "recorded_at": "2024-01-01T10:00:00-03:00"}

    answer = await client.post(f"{DRIVERS}/positions", json={"positions": [*fixes, older, older]})

    assert (answer.status_code, answer.json()) == (200, {"applied": 498, "older": 2, "refused": 0})
    assert len(await listed(client, bbox=TOWN, limit=500)) == 499


async def test_the_largest_batch_with_the_longest_ids_is_not_too_large(client: httpx.AsyncClient) -> None:
    at = {"lat": -23.123456789012345, "lng": -146.12345678901234, "recorded_at": "2026-01-31T12:00:00.123456+00:00"}
    fixes = [{"driver_id": f"{number:064}", **at} for number in range(500)]

    answer = await client.post(f"{DRIVERS}/positions", json={"positions": fixes})

    assert (answer.status_code, answer.json()["applied"]) == (200, 500)


async def test_of_several_fixes_of_one_driver_the_newest_counts(client: httpx.AsyncClient) -> None:
    times = ["2026-01-31T12:00:01Z", "2026-01-31T12:00:03Z", "2026-01-31T12:00:02Z"]
    fixes = [{"driver_id": "ana", "lat": n + 1, "lng": 1, "recorded_at": time} for n, time in enumerate(times)]

    answer = await client.post(f"{DRIVERS}/positions", json={"positions": fixes})

    assert answer.json() == {"applied": 2, "older": 1, "refused": 0}
    assert (await client.get(f"{ANA}/position")).json()["lat"] == 2


async def test_candidates_are_near_the_pickup_nearest_first_and_nobody_is_claimed(
    client: httpx.AsyncClient, world: World
) -> None:
    await world.orders.add(an_order("o-1"))
    await world.fleet.map.register(Driver("ana", "Ana Souza"))
    fix = a_position("ana", metres_north=1000)
    await world.fleet.map.update_positions(
        [a_position("bia", metres_north=2000), fix, a_position("far", metres_north=6000)]
    )
    await world.fleet.map.occupy("bia", "o-2", 2)

    answer = await client.get("/api/v1/orders/o-1/candidates")

    ana, bia = answer.json()["items"]
    assert (bia["driver_id"], bia["free"]) == ("bia", False)
    assert datetime.fromisoformat(ana.pop("seen_at")) == fix.recorded_at
    assert ana.pop("distance_m") == pytest.approx(1000, abs=2)
    assert ana == {
        "driver_id": "ana", "name": "Ana Souza", "lat": fix.place.lat, "lng": fix.place.lng, "free": True
    }  # fmt: skip
    order = await world.orders.get("o-1")
    assert (order.status, order.version) == (Status.PENDING, 1)

    async def ask(query: str) -> list[str]:
        found = (await client.get(f"/api/v1/orders/o-1/candidates?{query}")).json()["items"]
        return [item["driver_id"] for item in found]

    assert await ask("limit=1") == ["ana"]
    assert await ask("radius_km=1.5") == ["ana"]
    assert await ask("radius_km=10") == ["ana", "bia", "far"]


async def test_an_order_without_a_pickup_is_at_the_depot_if_there_is_one(
    client: httpx.AsyncClient, world: World
) -> None:
    await world.orders.add(an_order("o-1", pickup=None))
    await world.fleet.map.update_positions([a_position("ana")])
    path = "/api/v1/orders/o-1/candidates"
    assert [item["driver_id"] for item in (await client.get(path)).json()["items"]] == ["ana"]

    world.depot = None
    answer = await client.get(path)
    assert (answer.status_code, slug(answer)) == (409, "no-pickup")


async def test_an_unknown_order_has_no_candidates(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/orders/o-1/candidates")

    assert (answer.status_code, slug(answer)) == (404, "no-such-order")


NEEDING_THE_FLEET = [
    ("GET", f"{DRIVERS}?bbox={TOWN}", None),
    ("GET", f"{ANA}/position", None),
    ("PUT", f"{ANA}/position", {"lat": 1, "lng": 2}),
    ("PUT", ANA, {"name": "Ana"}),
    ("PUT", f"{ANA}/duty", {"on_duty": False}),
    ("POST", f"{DRIVERS}/positions", {"positions": [{"driver_id": "ana", "lat": 1, "lng": 2}]}),
    ("GET", "/api/v1/orders/o-1/candidates", None),
]


@pytest.mark.parametrize(("method", "path", "body"), NEEDING_THE_FLEET)
async def test_what_needs_the_fleet_says_so_when_it_is_away(
    client: httpx.AsyncClient, world: World, method: str, path: str, body: object
) -> None:
    await world.orders.add(an_order("o-1"))
    await world.drivers.put(Driver("ana", "Ana"))
    world.fleet.away = True

    answer = await client.request(method, path, json=body)

    assert (answer.status_code, slug(answer)) == (503, "fleet-unavailable")
    assert answer.headers["retry-after"] == "3"
    assert "10.1.2.3" not in answer.text


@pytest.mark.parametrize("path", [DRIVERS, f"{DRIVERS}?free=true", ANA])
async def test_records_need_no_fleet(client: httpx.AsyncClient, world: World, path: str) -> None:
    await world.drivers.put(Driver("ana", "Ana"))
    world.fleet.away = True

    assert (await client.get(path)).status_code == 200
