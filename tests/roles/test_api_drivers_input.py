"""Invalid requests about drivers are answered with a precise 4xx, never a 5xx, and change nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

import httpx
import pytest

from gofleet.domain.driver import Driver
from tests.makers import an_order
from tests.roles.conftest import World
from tests.roles.test_api import slug

DRIVERS = "/api/v1/drivers"
BATCH = f"{DRIVERS}/positions"
JSON = {"Content-Type": "application/json"}
POSITION = {"driver_id": "ana", "lat": 1, "lng": 2}


def cursor(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("bbox=", "bbox"),
        ("bbox=1,2,3", "bbox"),
        ("bbox=1,2,3,4,5", "bbox"),
        ("bbox=1,2,0,3,4,5", "bbox"),
        ("bbox=a,b,c,d", "bbox"),
        ("bbox=nan,1,2,3", "bbox"),
        ("bbox=1,2,inf,4", "bbox"),
        ("bbox=1_0,2,30,4", "bbox"),
        ("bbox=1,2,%203,4", "bbox"),
        ("bbox=1,2,3,4%0a", "bbox"),
        ("bbox=%EF%BC%91,2,3,4", "bbox"),
        ("bbox=1;2;3;4", "bbox"),
        ("bbox=1,2,3,1e999", "bbox"),
        ("bbox=-181,2,3,4", "bbox"),
        ("bbox=1,2,180.1,4", "bbox"),
        ("bbox=1,-90.1,3,4", "bbox"),
        ("bbox=1,2,3,91", "bbox"),
        ("bbox=3,2,1,4", "bbox"),
        ("bbox=179,-1,-179,1", "bbox"),
        ("bbox=1,4,3,2", "bbox"),
        ("bbox=1,2,1,4", "bbox"),
        ("bbox=" + "1" * 5000, "bbox"),
        ("bbox=1,2,3," + "4." + "0" * 300, "bbox"),
        ("bbox=1,2,3,4&cursor=" + cursor(b"@ana"), "cursor"),
        ("bbox=1,2,3,4&limit=501", "limit"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=many", "limit"),
        ("free=maybe", "free"),
        ("on_duty=2", "on_duty"),
        ("cursor=!", "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("cursor=" + "A" * 1000, "cursor"),
        ("cursor=" + cursor(b"ana"), "cursor"),
        ("cursor=" + cursor(b"@"), "cursor"),
        ("cursor=" + cursor(b"@a b"), "cursor"),
        ("cursor=" + cursor(b"@a\0"), "cursor"),
        ("cursor=" + cursor(b"#17"), "cursor"),
    ],
)
async def test_names_the_invalid_query_parameter(client: httpx.AsyncClient, query: str, parameter: str) -> None:
    response = await client.get(f"{DRIVERS}?{query}")

    assert (response.status_code, slug(response)) == (422, "invalid")
    assert [fault["parameter"] for fault in response.json()["errors"]] == [parameter]
    assert len(response.content) < 1000


async def test_explains_that_a_box_must_not_cross_the_antimeridian(client: httpx.AsyncClient) -> None:
    [fault] = (await client.get(f"{DRIVERS}?bbox=179,-1,-179,1")).json()["errors"]

    assert "antimeridian" in fault["detail"]


@pytest.mark.parametrize("bbox", ["-180,-90,180,90", "-1e1,-2.5e-1,%2B3.,4", "-180,85.1,180,90"])
async def test_accepts_unusual_notations_of_a_box(client: httpx.AsyncClient, bbox: str) -> None:
    response = await client.get(f"{DRIVERS}?bbox={bbox}")

    assert (response.status_code, response.json()) == (
        200,
        {"items": [], "next_cursor": None, "truncated": False, "total": 0},
    )


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=51", "limit"),
        ("radius_km=0", "radius_km"),
        ("radius_km=-1", "radius_km"),
        ("radius_km=10.1", "radius_km"),
        ("radius_km=nan", "radius_km"),
        ("radius_km=inf", "radius_km"),
        ("radius_km=far", "radius_km"),
    ],
)
async def test_names_the_invalid_parameter_of_candidates(
    client: httpx.AsyncClient, world: World, query: str, parameter: str
) -> None:
    await world.orders.add(an_order("o-1"))

    response = await client.get(f"/api/v1/orders/o-1/candidates?{query}")

    assert (response.status_code, slug(response)) == (422, "invalid")
    assert [fault["parameter"] for fault in response.json()["errors"]] == [parameter]


def batch(*wrong: Mapping[str, object]) -> bytes:
    """A valid position, then one for each fault."""
    return json.dumps({"positions": [POSITION, *({**POSITION, **each} for each in wrong)]}).encode()


@pytest.mark.parametrize(
    ("body", "status", "pointers"),
    [
        (b"{", 400, []),
        (b'{"positions":[{"driver_id":"ana","lat":NaN,"lng":1}]}', 400, []),
        (b"[]", 422, [""]),
        (b"{}", 422, ["/positions"]),
        (b'{"positions":{}}', 422, ["/positions"]),
        (b'{"positions":[]}', 422, ["/positions"]),
        (b'{"positions":null}', 422, ["/positions"]),
        (b'{"positions":[{"driver_id":"ana","lat":1,"lng":2}],"x":1}', 422, ["/x"]),
        (batch(*[POSITION] * 500), 422, ["/positions"]),
        (batch({"driver_id": "\ud800"}), 400, []),
        (b'{"positions":[{"driver_id":"ana"},' + b"[" * 9000 + b"]" * 9000 + b"]}", 400, []),
    ],
)
async def test_rejects_a_malformed_batch_as_a_whole(
    client: httpx.AsyncClient, world: World, body: bytes, status: int, pointers: list[str]
) -> None:
    response = await client.post(BATCH, content=body, headers=JSON)

    assert response.status_code == status
    assert slug(response) == ("malformed-json" if status == 400 else "invalid")
    assert [fault["pointer"] for fault in response.json().get("errors", [])] == pointers
    assert world.fleet.positions == []


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b'{"positions":[1,[],"x",null]}', [f"/positions/{n}" for n in range(4)]),
        (b'{"positions":[{"lat":1,"lng":2}]}', ["/positions/0/driver_id"]),
        (batch({"lat": "1"}, {}, {"lng": True}), ["/positions/1/lat", "/positions/3/lng"]),
        (batch({"lat": None}), ["/positions/1/lat"]),
        (batch({"speed": 3}), ["/positions/1/speed"]),
        (batch({"driver_id": 7}, {"driver_id": None}), ["/positions/1/driver_id", "/positions/2/driver_id"]),
        (batch({"driver_id": "a b"}), ["/positions/1/driver_id"]),
        (batch({"driver_id": "positions"}), ["/positions/1/driver_id"]),
        (batch({"lat": 90}, {"lng": 181}), ["/positions/1/lat", "/positions/2/lng"]),
        (batch({"lat": 0, "lng": 0}), ["/positions/1"]),
        (batch({"recorded_at": "2999-01-01T00:00:00Z"}), ["/positions/1/recorded_at"]),
        (batch({"recorded_at": "2024-01-01T00:00:00"}), ["/positions/1/recorded_at"]),
        (batch({"recorded_at": 1_700_000_000}), ["/positions/1/recorded_at"]),
        (batch(*[{"lat": 90}] * 499), [f"/positions/{n}/lat" for n in range(1, 500)]),
    ],
)
async def test_an_invalid_position_does_not_refuse_the_others(
    client: httpx.AsyncClient, world: World, body: bytes, pointers: list[str]
) -> None:
    await world.fleet.map.register(Driver("ana", "Ana"))
    response = await client.post(BATCH, content=body, headers=JSON)

    items = len(json.loads(body)["positions"])
    answer = response.json()
    assert response.status_code == 200, response.text
    assert [fault["pointer"] for fault in answer["errors"]] == pointers
    assert all(fault["detail"] for fault in answer["errors"])
    assert (answer["applied"], answer["older"], answer["refused"]) == (items - len(pointers), 0, len(pointers))
    assert len(world.fleet.positions) == items - len(pointers)


async def test_text_that_is_not_utf_8_refuses_only_its_position(client: httpx.AsyncClient, world: World) -> None:
    body = b'{"positions":[{"driver_id":"\xff","lat":1,"lng":2},{"driver_id":"ana","lat":1,"lng":2}]}'

    response = await client.post(BATCH, content=body, headers=JSON)

    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (200, "/positions/0")
    assert [position.driver_id for position in world.fleet.positions] == ["ana"]


async def test_rejects_the_reserved_word_as_a_driver_id(client: httpx.AsyncClient, world: World) -> None:
    responses = [
        await client.put(f"{BATCH}/duty", json={"on_duty": True}),
        await client.put(f"{BATCH}/position", json={"lat": 1, "lng": 2}),
        await client.get(f"{BATCH}/position"),
    ]
    put, get = await client.put(BATCH, json={"name": "A word"}), await client.get(BATCH)

    assert [(response.status_code, slug(response)) for response in responses] == [(422, "invalid")] * 3
    for response in (put, get):
        assert (response.status_code, set(response.headers["allow"].split(", "))) == (405, {"OPTIONS", "POST"})
    assert (world.drivers.rows, world.fleet.drivers, world.fleet.positions) == ({}, [], [])


@pytest.mark.parametrize("body", [{}, {"on_duty": "yes"}, {"on_duty": 1}, {"on_duty": None}, {"on_duty": True, "x": 1}])
async def test_rejects_a_duty_that_is_not_boolean(
    client: httpx.AsyncClient, world: World, body: dict[str, object]
) -> None:
    await client.put(f"{DRIVERS}/ana", json={"name": "Ana"})

    response = await client.put(f"{DRIVERS}/ana/duty", json=body)

    assert (response.status_code, slug(response)) == (422, "invalid")
    assert len(world.fleet.drivers) == 1
