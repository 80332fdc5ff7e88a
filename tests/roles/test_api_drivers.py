"""The REST API: drivers, their positions, and candidates for an order."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from gofleet.domain.driver import Driver, Position
from gofleet.domain.order import Status
from gofleet.domain.principal import WORKER
from tests.makers import CENTRE, a_position, an_order, on_the_map
from tests.roles.conftest import World
from tests.roles.test_api import slug

DRIVERS = "/api/v1/drivers"
ANA = f"{DRIVERS}/ana"
TOWN = f"{CENTRE.lng - 0.1},{CENTRE.lat - 0.1},{CENTRE.lng + 0.1},{CENTRE.lat + 0.1}"


async def on_duty_at(world: World, *fixes: Position) -> None:
    """Drivers with a record, named by their ids, at these positions."""
    for fix in fixes:
        await world.fleet.map.register(await world.drivers.put(Driver(fix.driver_id, fix.driver_id)))
    await world.fleet.map.update_positions(fixes)


async def dispatch(world: World, driver_id: str) -> str:
    """The id of a new order that is dispatched to the driver."""
    order = an_order(f"of-{driver_id}")
    await world.orders.add(order)
    order.dispatch(driver_id, by=WORKER)
    await world.save(order)
    return order.id


async def driver_ids(client: httpx.AsyncClient, **query: object) -> list[str]:
    response = await client.get(DRIVERS, params={name: str(value) for name, value in query.items()})
    assert response.status_code == 200, response.text
    return [item["id"] for item in response.json()["items"]]


async def test_shows_a_driver_with_its_order_only_if_either_changed(client: httpx.AsyncClient, world: World) -> None:
    await client.put(ANA, json={"name": "Ana"})
    first = await client.get(ANA)
    assert first.json() == {
        "id": "ana", "name": "Ana", "on_duty": True, "free": True, "state": "free", "order_id": None, "version": 1
    }  # fmt: skip
    assert first.headers["etag"] == '"1"'

    async def get(tag: str) -> httpx.Response:
        return await client.get(ANA, headers={"If-None-Match": tag})

    assert ((await get('"1"')).status_code, (await get("*")).status_code) == (304, 304)
    await dispatch(world, "ana")
    busy = await get('"1"')
    assert (busy.status_code, busy.json()["order_id"], busy.json()["free"]) == (200, "of-ana", False)
    assert busy.headers["etag"] == '"1/of-ana"'
    assert (await get('"1/of-ana"')).status_code == 304


async def test_changes_only_the_version_of_a_driver_in_if_match(client: httpx.AsyncClient, world: World) -> None:
    await client.put(ANA, json={"name": "Ana"})

    async def put(name: str, tag: str) -> httpx.Response:
        return await client.put(ANA, json={"name": name}, headers={"If-Match": tag})

    changed = await put("Bia", '"1"')
    assert (changed.status_code, changed.json()["version"], changed.headers["etag"]) == (200, 2, '"2"')
    stale = await put("Cai", '"1"')
    assert (stale.status_code, slug(stale), stale.headers["etag"]) == (412, "version-mismatch", '"2"')
    assert (await put("Cai", 'W/"1-gzip"')).status_code == 412
    assert world.fleet.drivers == [Driver("ana", "Ana"), Driver("ana", "Bia", version=2)]

    repeated = await put("Bia", '"1"')  # a retry after a lost response
    assert (repeated.status_code, repeated.content) == (200, changed.content)
    await dispatch(world, "ana")
    assert (await put("Dora", (await client.get(ANA)).headers["etag"])).json()["version"] == 3
    assert (await put("Eva", "*")).json()["version"] == 4


@pytest.mark.parametrize("tag", ["*", '"1"'])
async def test_registers_no_new_driver_with_if_match(client: httpx.AsyncClient, world: World, tag: str) -> None:
    response = await client.put(ANA, json={"name": "Ana"}, headers={"If-Match": tag})

    assert (response.status_code, slug(response), response.headers.get("etag")) == (412, "version-mismatch", None)
    assert (world.drivers.rows, world.fleet.drivers) == ({}, [])


async def test_rejects_a_malformed_if_match(client: httpx.AsyncClient) -> None:
    response = await client.put(ANA, json={"name": "Ana"}, headers={"If-Match": "1"})

    assert (response.status_code, slug(response)) == (400, "malformed-tag")


async def test_stores_duty_and_passes_it_to_the_fleet(client: httpx.AsyncClient, world: World) -> None:
    await client.put(ANA, json={"name": "Ana"})
    await dispatch(world, "ana")

    off = await client.put(f"{ANA}/duty", json={"on_duty": False})
    repeated = await client.put(f"{ANA}/duty", json={"on_duty": False})

    assert (off.status_code, off.json()["on_duty"], off.json()["order_id"]) == (200, False, "of-ana")
    assert (off.headers["etag"], repeated.content) == ('"2/of-ana"', off.content)
    assert [driver.on_duty for driver in world.fleet.drivers] == [True, False, False]


async def test_does_not_set_the_duty_of_an_unknown_driver(client: httpx.AsyncClient, world: World) -> None:
    response = await client.put(f"{ANA}/duty", json={"on_duty": True})

    assert (response.status_code, slug(response)) == (404, "no-such-driver")
    assert world.fleet.drivers == []


async def test_locates_a_driver(client: httpx.AsyncClient, world: World) -> None:
    await world.drivers.put(Driver("ana", "Ana"))
    unknown = await client.get(f"{ANA}/position")
    assert (unknown.status_code, slug(unknown)) == (404, "no-position")

    position = a_position("ana")
    await on_duty_at(world, position)
    body = (await client.get(f"{ANA}/position")).json()
    assert datetime.fromisoformat(body.pop("recorded_at")) == position.recorded_at
    assert body == {"lat": CENTRE.lat, "lng": CENTRE.lng, "free": True, "state": "free"}


async def test_lists_records_by_id_in_pages_without_the_fleet(client: httpx.AsyncClient, world: World) -> None:
    for number in range(7):
        await world.drivers.put(Driver(f"d-{number}", "D", on_duty=number != 3))
    await dispatch(world, "d-5")
    world.fleet.unavailable = True

    seen: list[str] = []
    query = {"limit": "3"}
    while True:
        page = (await client.get(DRIVERS, params=query)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]

    assert seen == [f"d-{number}" for number in range(7)]
    assert await driver_ids(client, free="true") == ["d-0", "d-1", "d-2", "d-4", "d-6"]
    assert await driver_ids(client, free="false") == ["d-3", "d-5"]
    assert await driver_ids(client, on_duty="false") == ["d-3"]
    assert await driver_ids(client, free="false", on_duty="true") == ["d-5"]
    assert "position" not in page["items"][0]


async def test_a_map_shows_drivers_with_positions_nearest_to_its_centre_first(
    client: httpx.AsyncClient, world: World
) -> None:
    await on_duty_at(world, a_position("ana", metres_north=10), a_position("bia", metres_north=500))
    await on_duty_at(world, a_position("far", metres_north=50_000))

    page = (await client.get(DRIVERS, params={"bbox": TOWN})).json()

    assert page["next_cursor"] is None
    ana, bia = page["items"]
    last_seen = ana.pop("position")
    assert ana == {
        "id": "ana", "name": "ana", "on_duty": True, "free": True, "state": "free", "order_id": None, "version": 1
    }  # fmt: skip
    assert (last_seen["lng"], set(last_seen)) == (CENTRE.lng, {"lat", "lng", "recorded_at"})
    assert datetime.fromisoformat(last_seen["recorded_at"]).tzinfo == UTC
    assert bia["id"] == "bia"
    assert (page["truncated"], page["total"]) == (False, 2)
    nearest = (await client.get(DRIVERS, params={"bbox": TOWN, "limit": 1})).json()
    assert ([item["id"] for item in nearest["items"]], nearest["truncated"], nearest["total"]) == (["ana"], True, 2)
    assert {"truncated", "total"}.isdisjoint((await client.get(DRIVERS)).json())


async def test_a_map_leaves_out_a_driver_whose_record_the_database_has_lost(
    client: httpx.AsyncClient, world: World
) -> None:
    await on_duty_at(world, a_position("ana", metres_north=10))
    await on_the_map(world.fleet.map, [a_position("lost", metres_north=100)])

    page = (await client.get(DRIVERS, params={"bbox": TOWN})).json()

    assert ([item["id"] for item in page["items"]], page["total"]) == (["ana"], 1)


async def test_a_map_shows_a_driver_as_free_only_if_the_database_agrees(
    client: httpx.AsyncClient, world: World
) -> None:
    for driver_id in ("busy", "free", "off"):
        await world.drivers.put(Driver(driver_id, driver_id, on_duty=driver_id != "off"))
    await on_the_map(world.fleet.map, [a_position(driver_id) for driver_id in ("busy", "free", "off")])
    await dispatch(world, "busy")  # neither this nor the duty of the third driver is known to the fleet

    assert await driver_ids(client, bbox=TOWN, free="true") == ["free"]
    assert await driver_ids(client, bbox=TOWN, on_duty="true") == ["busy", "free"]
    items = (await client.get(DRIVERS, params={"bbox": TOWN})).json()["items"]
    assert {item["id"]: item["free"] for item in items} == {"busy": False, "free": True, "off": False}
    assert {item["id"]: item["state"] for item in items} == {"busy": "busy", "free": "free", "off": "off_duty"}
    assert (await client.get(DRIVERS, params={"bbox": TOWN, "free": "true"})).json()["total"] == 1


async def test_one_word_says_why_a_driver_receives_no_orders(client: httpx.AsyncClient, world: World) -> None:
    for driver_id in ("busy", "free", "off", "silent"):
        await client.put(f"{DRIVERS}/{driver_id}", json={"name": driver_id, "on_duty": driver_id != "off"})
        age = 3600 if driver_id == "silent" else 0
        await world.fleet.map.update_positions([a_position(driver_id, age_seconds=age)])
    await world.fleet.map.occupy("busy", await dispatch(world, "busy"), 2)

    words = {"busy": "busy", "free": "free", "off": "off_duty", "silent": "silent"}
    on_map = (await client.get(DRIVERS, params={"bbox": TOWN})).json()["items"]
    assert {item["id"]: item["state"] for item in on_map} == words
    assert {item["id"]: item["free"] for item in on_map} == {id: word == "free" for id, word in words.items()}
    records = (await client.get(DRIVERS)).json()["items"]
    assert {item["id"]: item["state"] for item in records} == words | {"silent": "free"}  # no positions there
    for driver_id, word in words.items():
        assert (await client.get(f"{DRIVERS}/{driver_id}/position")).json()["state"] == word


async def test_updates_many_positions_at_once(client: httpx.AsyncClient, world: World) -> None:
    for number in range(498):
        await world.fleet.map.register(await world.drivers.put(Driver(f"d-{number}", "D")))
    await on_duty_at(world, a_position("bia"))
    fixes = [{"driver_id": f"d-{number}", "lat": CENTRE.lat, "lng": CENTRE.lng} for number in range(498)]
    older = {"driver_id": "bia", "lat": 1, "lng": 2, "recorded_at": "2024-01-01T10:00:00-03:00"}

    response = await client.post(f"{DRIVERS}/positions", json={"positions": [*fixes, older, older]})

    assert (response.status_code, response.json()) == (200, {"applied": 498, "older": 2, "refused": 0})
    assert len(await driver_ids(client, bbox=TOWN, limit=500)) == 499


async def test_accepts_the_largest_batch_with_the_longest_ids(client: httpx.AsyncClient, world: World) -> None:
    at = {"lat": -23.123456789012345, "lng": -146.12345678901234, "recorded_at": "2026-01-31T12:00:00.123456+00:00"}
    fixes = [{"driver_id": f"{number:064}", **at} for number in range(500)]
    for fix in fixes:
        await world.fleet.map.register(Driver(str(fix["driver_id"]), "D"))

    response = await client.post(f"{DRIVERS}/positions", json={"positions": fixes})

    assert (response.status_code, response.json()["applied"]) == (200, 500)


async def test_positions_of_unregistered_drivers_are_refused(client: httpx.AsyncClient, world: World) -> None:
    alone = await client.put(f"{DRIVERS}/bia/position", json={"lat": 1, "lng": 2})
    assert (alone.status_code, slug(alone)) == (404, "no-such-driver")
    assert alone.json()["detail"] == "there is no driver bia: register it first"
    where = await client.get(f"{DRIVERS}/bia/position")
    assert (where.status_code, slug(where)) == (404, "no-such-driver")

    await client.put(ANA, json={"name": "Ana"})
    fixes = [{"driver_id": driver_id, "lat": 1, "lng": 2} for driver_id in ("bia", "ana", "/", "bia", "cai")]
    response = await client.post(f"{DRIVERS}/positions", json={"positions": fixes})

    body = response.json()
    assert (response.status_code, body["applied"], body["older"], body["refused"]) == (200, 1, 0, 4)
    errors = {error["pointer"]: error["detail"] for error in body["errors"]}
    assert errors.keys() == {f"/positions/{number}/driver_id" for number in (0, 2, 3, 4)}
    assert errors["/positions/4/driver_id"].startswith("cai is not a registered driver: register it first")
    assert (await client.get(DRIVERS, params={"bbox": "0,0,3,3"})).json()["items"][0]["id"] == "ana"


async def test_the_newest_of_several_positions_of_a_driver_counts(client: httpx.AsyncClient, world: World) -> None:
    await world.fleet.map.register(Driver("ana", "Ana"))
    times = ["2026-01-31T12:00:01Z", "2026-01-31T12:00:03Z", "2026-01-31T12:00:02Z"]
    fixes = [{"driver_id": "ana", "lat": n + 1, "lng": 1, "recorded_at": time} for n, time in enumerate(times)]

    response = await client.post(f"{DRIVERS}/positions", json={"positions": fixes})

    assert response.json() == {"applied": 2, "older": 1, "refused": 0}
    assert (await client.get(f"{ANA}/position")).json()["lat"] == 2


async def test_lists_candidates_near_the_pickup_nearest_first_without_a_claim(
    client: httpx.AsyncClient, world: World
) -> None:
    await world.orders.add(an_order("o-1"))
    await world.fleet.map.register(Driver("ana", "Ana Souza"))
    position = a_position("ana", metres_north=1000)
    await on_the_map(
        world.fleet.map, [a_position("bia", metres_north=2000), position, a_position("far", metres_north=6000)]
    )
    await world.fleet.map.occupy("bia", "o-2", 2)

    response = await client.get("/api/v1/orders/o-1/candidates")

    ana, bia = response.json()["items"]
    assert (bia["driver_id"], bia["free"]) == ("bia", False)
    assert datetime.fromisoformat(ana.pop("seen_at")) == position.recorded_at
    assert ana.pop("distance_m") == pytest.approx(1000, abs=2)
    assert ana == {
        "driver_id": "ana", "name": "Ana Souza", "lat": position.place.lat, "lng": position.place.lng,
        "free": True, "state": "free",
    }  # fmt: skip
    order = await world.orders.get("o-1")
    assert (order.status, order.version) == (Status.PENDING, 1)

    async def get(query: str) -> list[str]:
        found = (await client.get(f"/api/v1/orders/o-1/candidates?{query}")).json()["items"]
        return [item["driver_id"] for item in found]

    assert await get("limit=1") == ["ana"]
    assert await get("radius_km=1.5") == ["ana"]
    assert await get("radius_km=10") == ["ana", "bia", "far"]
    assert await get("driver_id=far") == ["far"]
    assert await get("driver_id=unknown") == []


async def test_lists_candidates_near_the_depot_for_an_order_without_a_pickup(
    client: httpx.AsyncClient, world: World
) -> None:
    await world.orders.add(an_order("o-1", pickup=None))
    await on_the_map(world.fleet.map, [a_position("ana", metres_north=500)])
    path = "/api/v1/orders/o-1/candidates"
    assert [item["driver_id"] for item in (await client.get(path)).json()["items"]] == ["ana"]
    [ana] = (await client.get(f"{path}?driver_id=ana")).json()["items"]
    assert ana["distance_m"] == pytest.approx(500, abs=2)

    world.depot = None
    response = await client.get(path)
    assert (response.status_code, slug(response)) == (409, "no-pickup")


async def test_does_not_list_candidates_of_an_unknown_order(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/orders/o-1/candidates")

    assert (response.status_code, slug(response)) == (404, "no-such-order")


NEED_FLEET = [
    ("GET", f"{DRIVERS}?bbox={TOWN}", None),
    ("GET", f"{ANA}/position", None),
    ("PUT", f"{ANA}/position", {"lat": 1, "lng": 2}),
    ("PUT", ANA, {"name": "Ana"}),
    ("PUT", f"{ANA}/duty", {"on_duty": False}),
    ("POST", f"{DRIVERS}/positions", {"positions": [{"driver_id": "ana", "lat": 1, "lng": 2}]}),
    ("GET", "/api/v1/orders/o-1/candidates", None),
]


@pytest.mark.parametrize(("method", "path", "body"), NEED_FLEET)
async def test_answers_503_where_the_fleet_is_needed_while_it_is_unavailable(
    client: httpx.AsyncClient, world: World, method: str, path: str, body: object
) -> None:
    await world.orders.add(an_order("o-1"))
    await world.drivers.put(Driver("ana", "Ana"))
    world.fleet.unavailable = True

    response = await client.request(method, path, json=body)

    assert (response.status_code, slug(response)) == (503, "fleet-unavailable")
    assert response.headers["retry-after"] == "3"
    assert "10.1.2.3" not in response.text


@pytest.mark.parametrize("path", [DRIVERS, f"{DRIVERS}?free=true", ANA])
async def test_reads_records_while_the_fleet_is_unavailable(client: httpx.AsyncClient, world: World, path: str) -> None:
    await world.drivers.put(Driver("ana", "Ana"))
    world.fleet.unavailable = True

    assert (await client.get(path)).status_code == 200
