"""Parked messages over REST: found, looked at, and asked back."""

from __future__ import annotations

import base64

import httpx
import pytest

from gofleet.domain.errors import Malformed, OrderNotFound
from gofleet.domain.messages import AGGREGATE_ID, DISPATCH_QUEUE, EVENT_ID, FLEET_QUEUE, Delivery
from gofleet.domain.parked import HandlingFailure, Stage
from tests.roles.conftest import World
from tests.roles.test_api import slug

PARKED = "/api/v1/parked"


async def park(
    world: World,
    name: str = "o-1",
    *,
    body: bytes | None = None,
    queue: str = DISPATCH_QUEUE,
    error: Exception | None = None,
) -> int:
    headers = {EVENT_ID: f"e-{name}", AGGREGATE_ID: name}
    delivery = Delivery(queue, name.encode() if body is None else body, headers)
    await world.parked.add(delivery, HandlingFailure.of(error or OrderNotFound(name)))
    return world.parked.rows[-1].message.id


async def put_back(world: World) -> int:
    """As the relay does; how many."""
    async with world.parked.claiming(100) as claim:
        await claim.settle([None] * len(claim.deliveries))
        return len(claim.deliveries)


async def ids(client: httpx.AsyncClient, **query: str | int) -> list[int]:
    return [item["id"] for item in (await client.get(PARKED, params=query)).json()["items"]]


async def test_a_parked_message_is_shown_with_what_is_wrong_and_what_it_said(
    client: httpx.AsyncClient, world: World
) -> None:
    id = await park(world)

    [item] = (await client.get(PARKED)).json()["items"]
    whole = (await client.get(f"{PARKED}/{id}")).json()

    assert item == {
        "id": id,
        "queue": "orders.created",
        "state": "waiting",
        "reason": "no-such-order",
        "detail": "there is no order o-1",
        "fingerprint": item["fingerprint"],
        "event_id": "e-o-1",
        "order_id": "o-1",
        "attempts": 0,
        "body_bytes": 3,
        "parked_at": item["parked_at"],
        "replay_requested_at": None,
        "replayed_at": None,
        "replay_count": 0,
        "error": None,
    }
    assert item["parked_at"].endswith("Z")
    assert whole == {
        **item,
        "headers": {EVENT_ID: "e-o-1", AGGREGATE_ID: "o-1"},
        "body": "o-1",
        "body_encoding": "utf-8",
        "body_truncated": False,
    }


@pytest.mark.parametrize(
    ("body", "encoding", "shown"),
    [
        (b"", "utf-8", b""),
        ("ü\0".encode(), "utf-8", "ü\0".encode()),
        (b"\xff\x00", "base64", b"\xff\x00"),
        (b"\xc3", "base64", b"\xc3"),  # half a character, and nothing was cut
        (b"x" * 200_000, "utf-8", b"x" * 65_536),
        (b"x" + "ü".encode() * 100_000, "utf-8", b"x" + "ü".encode() * 32_767),
        (b"\xff" * 200_000, "base64", b"\xff" * 65_536),
    ],
    ids=["empty", "text", "no text", "half a character", "long", "long, cut in a character", "long, no text"],
)
async def test_a_body_is_text_if_it_can_be_and_never_too_long(
    client: httpx.AsyncClient, world: World, body: bytes, encoding: str, shown: bytes
) -> None:
    id = await park(world, body=body)

    answer = (await client.get(f"{PARKED}/{id}")).json()

    assert (answer["body_encoding"], answer["body_truncated"]) == (encoding, len(shown) < len(body))
    said = answer["body"]
    assert (base64.b64decode(said) if encoding == "base64" else said.encode()) == shown
    assert answer["body_bytes"] == len(body)


async def test_pages_hold_every_message_once(client: httpx.AsyncClient, world: World) -> None:
    parked = [await park(world, f"o-{n}") for n in range(5)]
    seen: list[int] = []
    query: dict[str, str | int] = {"limit": 2}
    while True:
        page = (await client.get(PARKED, params=query)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
        await park(world, "newcomer")

    assert seen == list(reversed(parked))


async def test_messages_are_found_by_what_is_known_of_them(client: httpx.AsyncClient, world: World) -> None:
    lost, broken = await park(world), await park(world, "broken", error=Malformed("x"), queue=FLEET_QUEUE)
    gone = await park(world, "o-2")
    await client.post(f"{PARKED}/{gone}/replay")
    await put_back(world)
    await client.post(f"{PARKED}/{lost}/replay")
    fingerprint = world.parked.rows[1].message.fingerprint

    assert await ids(client) == [broken, lost]
    assert await ids(client, queue=FLEET_QUEUE) == [broken]
    assert await ids(client, reason="no-such-order") == [lost]
    assert await ids(client, fingerprint=fingerprint) == [broken]
    assert await ids(client, state="waiting") == [broken]
    assert await ids(client, state="requested") == [lost]
    assert await ids(client, state="replayed") == [gone]
    assert await ids(client, queue="elsewhere") == []
    assert await world.parked.count() == len(await ids(client))


async def test_failures_of_one_sort_are_counted_together(client: httpx.AsyncClient, world: World) -> None:
    for name in ("one", "two", "three"):
        await park(world, name)
    await park(world, "broken", error=Malformed("x"))
    await client.post(f"{PARKED}/1/replay")

    first, second = (await client.get(f"{PARKED}/groups")).json()["items"]
    [only] = (await client.get(f"{PARKED}/groups", params={"reason": "malformed"})).json()["items"]

    assert (first["reason"], first["count"], first["waiting"]) == ("no-such-order", 3, 2)
    assert first["detail"] == "there is no order three"
    assert first["first_at"] <= first["last_at"]
    assert only == second


async def test_a_replay_is_asked_for_once_however_often_that_is_said(client: httpx.AsyncClient, world: World) -> None:
    id = await park(world)

    first, again = [await client.post(f"{PARKED}/{id}/replay") for _ in range(2)]
    assert await put_back(world) == 1
    done = await client.post(f"{PARKED}/{id}/replay")

    assert (first.status_code, first.json()["state"]) == (202, "requested")
    assert (again.status_code, again.content) == (202, first.content)
    assert (done.status_code, done.json()["state"], done.json()["replay_count"]) == (200, "replayed", 1)
    assert await put_back(world) == 0


async def test_many_are_asked_back_if_they_are_as_many_as_expected(client: httpx.AsyncClient, world: World) -> None:
    for name in ("one", "two"):
        await park(world, name)
    broken = await park(world, "broken", error=Malformed("x"))

    async def ask(count: int, **chosen: str) -> httpx.Response:
        return await client.post(f"{PARKED}/replay", json={"filter": chosen, "expected_count": count})

    refused = await ask(3, reason="no-such-order")
    assert (refused.status_code, slug(refused), refused.json()["actual_count"]) == (409, "count-mismatch", 2)
    assert {row.message.stage for row in world.parked.rows} == {Stage.WAITING}

    answer = await ask(2, fingerprint=world.parked.rows[0].message.fingerprint, queue=DISPATCH_QUEUE)
    assert (answer.status_code, answer.json()) == (202, {"requested": 2})
    assert await ids(client, state="waiting") == [broken]
    nothing_left = await ask(2)
    assert (nothing_left.status_code, nothing_left.json()["actual_count"]) == (409, 1)
    assert (await ask(1)).json() == {"requested": 1}
    assert (await ask(0)).json() == {"requested": 0}


async def test_what_nobody_here_consumes_cannot_be_replayed(client: httpx.AsyncClient, world: World) -> None:
    id = await park(world, queue="elsewhere")

    one = await client.post(f"{PARKED}/{id}/replay")
    many = await client.post(f"{PARKED}/replay", json={"filter": {}, "expected_count": 1})

    for answer in (one, many):
        assert (answer.status_code, slug(answer)) == (409, "not-replayable")
        assert "elsewhere" in answer.json()["detail"]
    assert await ids(client, state="waiting") == [id]


@pytest.mark.parametrize(("method", "path"), [("GET", "/7"), ("POST", "/7/replay"), ("GET", "/999999999999999999")])
async def test_an_unknown_message_is_not_found(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, PARKED + path)

    assert (answer.status_code, slug(answer)) == (404, "no-such-parked-message")


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/many", "parked_id"),
        ("/0", "parked_id"),
        ("/-1", "parked_id"),
        ("/1%00", "parked_id"),
        ("/%D9%A1", "parked_id"),
        ("/" + "9" * 30, "parked_id"),
        ("?queue=%00", "queue"),
        ("?fingerprint=%20", "fingerprint"),
        ("?reason=nothing", "reason"),
        ("?state=lost", "state"),
        ("?limit=101", "limit"),
        ("?cursor=!", "cursor"),
        ("?cursor=%C3%A9", "cursor"),
        ("?cursor=" + base64.urlsafe_b64encode(b"2024-01-01T00:00:00Z o-1").decode(), "cursor"),
        ("?cursor=" + base64.urlsafe_b64encode(b"#99999999999999999999").decode(), "cursor"),
        ("?cursor=" + "A" * 1000, "cursor"),
        ("/groups?limit=0", "limit"),
        ("/groups?state=x", "state"),
    ],
)
async def test_a_bad_parameter_is_named(client: httpx.AsyncClient, path: str, parameter: str) -> None:
    answer = await client.get(PARKED + path)

    assert (answer.status_code, slug(answer)) == (422, "invalid")
    assert [fault["parameter"] for fault in answer.json()["errors"]] == [parameter]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"expected_count": 1}, "/filter"),
        ({"filter": {}}, "/expected_count"),
        ({"filter": {}, "expected_count": -1}, "/expected_count"),
        ({"filter": {}, "expected_count": 2**31}, "/expected_count"),
        ({"filter": {}, "expected_count": 1.5}, "/expected_count"),
        ({"filter": {"id": 1}, "expected_count": 1}, "/filter/id"),
        ({"filter": {"reason": "x"}, "expected_count": 1}, "/filter/reason"),
        ({"filter": {"queue": "\0"}, "expected_count": 1}, "/filter/queue"),
        ({"filter": {"fingerprint": ""}, "expected_count": 1}, "/filter/fingerprint"),
    ],
)
async def test_a_wrong_wish_is_told_by_its_place(client: httpx.AsyncClient, body: object, pointer: str) -> None:
    answer = await client.post(f"{PARKED}/replay", json=body)

    assert (answer.status_code, slug(answer)) == (422, "invalid")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


async def test_the_schemas_are_typed(client: httpx.AsyncClient) -> None:
    document = (await client.get("/api/v1/openapi.json")).json()

    schemas = document["components"]["schemas"]
    assert schemas["ParkedView"]["properties"]["id"]["type"] == "integer"
    wish = document["paths"]["/api/v1/parked/replay"]["post"]
    assert wish["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/ReplayRequest")
    assert set(wish["responses"]) >= {"202", "409", "422"}
    names = {parameter["name"] for parameter in document["paths"]["/api/v1/parked"]["get"]["parameters"]}
    assert names == {"queue", "fingerprint", "reason", "state", "limit", "cursor"}
