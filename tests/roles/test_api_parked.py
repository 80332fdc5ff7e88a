"""Parked messages over REST: list, show and replay."""

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


async def replay_requested(world: World) -> int:
    """Replay the requested messages as the relay does; returns their number."""
    async with world.parked.claiming(100) as claim:
        await claim.settle([None] * len(claim.deliveries))
        return len(claim.deliveries)


async def ids(client: httpx.AsyncClient, **query: str | int) -> list[int]:
    return [item["id"] for item in (await client.get(PARKED, params=query)).json()["items"]]


async def test_shows_a_parked_message_with_its_failure_and_its_content(client: httpx.AsyncClient, world: World) -> None:
    id = await park(world)

    [item] = (await client.get(PARKED)).json()["items"]
    detail = (await client.get(f"{PARKED}/{id}")).json()

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
    assert detail == {
        **item,
        "headers": {EVENT_ID: "e-o-1", AGGREGATE_ID: "o-1"},
        "headers_truncated": False,
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
        (b"\xc3", "base64", b"\xc3"),  # half a character, although nothing is truncated
        (b"x" * 200_000, "utf-8", b"x" * 65_536),
        (b"x" + "ü".encode() * 100_000, "utf-8", b"x" + "ü".encode() * 32_767),
        (b"\xff" * 200_000, "base64", b"\xff" * 65_536),
    ],
    ids=["empty", "text", "no text", "half a character", "long", "long, cut in a character", "long, no text"],
)
async def test_shows_a_body_as_text_if_it_is_utf_8_and_truncates_it(
    client: httpx.AsyncClient, world: World, body: bytes, encoding: str, shown: bytes
) -> None:
    id = await park(world, body=body)

    response = (await client.get(f"{PARKED}/{id}")).json()

    assert (response["body_encoding"], response["body_truncated"]) == (encoding, len(shown) < len(body))
    text = response["body"]
    assert (base64.b64decode(text) if encoding == "base64" else text.encode()) == shown
    assert response["body_bytes"] == len(body)


async def test_pages_contain_each_message_once(client: httpx.AsyncClient, world: World) -> None:
    parked = [await park(world, f"o-{n}") for n in range(5)]
    seen: list[int] = []
    query: dict[str, str | int] = {"limit": 2}
    while True:
        page = (await client.get(PARKED, params=query)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
        await park(world, "later")

    assert seen == list(reversed(parked))


async def test_filters_parked_messages(client: httpx.AsyncClient, world: World) -> None:
    lost, broken = await park(world), await park(world, "broken", error=Malformed("x"), queue=FLEET_QUEUE)
    gone = await park(world, "o-2")
    await client.post(f"{PARKED}/{gone}/replay")
    await replay_requested(world)
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


async def test_groups_parked_messages_by_fingerprint(client: httpx.AsyncClient, world: World) -> None:
    for name in ("one", "two", "three"):
        await park(world, name)
    await park(world, "broken", error=Malformed("x"))
    await client.post(f"{PARKED}/1/replay")

    groups = (await client.get(f"{PARKED}/groups")).json()
    assert not groups["truncated"]
    cut = (await client.get(f"{PARKED}/groups", params={"limit": 1})).json()
    assert (len(cut["items"]), cut["truncated"]) == (1, True)
    first, second = groups["items"]
    [only] = (await client.get(f"{PARKED}/groups", params={"reason": "malformed"})).json()["items"]

    assert (first["reason"], first["count"], first["waiting"]) == ("no-such-order", 3, 2)
    assert first["detail"] == "there is no order three"
    assert first["first_at"] <= first["last_at"]
    assert only == second


async def test_repeated_requests_replay_a_message_once(client: httpx.AsyncClient, world: World) -> None:
    id = await park(world)

    first, repeated = [await client.post(f"{PARKED}/{id}/replay") for _ in range(2)]
    assert await replay_requested(world) == 1
    done = await client.post(f"{PARKED}/{id}/replay")

    assert (first.status_code, first.json()["state"]) == (202, "requested")
    assert (repeated.status_code, repeated.content) == (202, first.content)
    assert (done.status_code, done.json()["state"], done.json()["replay_count"]) == (200, "replayed", 1)
    assert await replay_requested(world) == 0


async def test_replays_many_messages_if_their_number_is_as_expected(client: httpx.AsyncClient, world: World) -> None:
    for name in ("one", "two"):
        await park(world, name)
    broken = await park(world, "broken", error=Malformed("x"))

    async def replay(count: int, **filter_: str) -> httpx.Response:
        return await client.post(f"{PARKED}/replay", json={"filter": filter_, "expected_count": count})

    mismatch = await replay(3, reason="no-such-order")
    assert (mismatch.status_code, slug(mismatch), mismatch.json()["actual_count"]) == (409, "count-mismatch", 2)
    assert {row.message.stage for row in world.parked.rows} == {Stage.WAITING}

    response = await replay(2, fingerprint=world.parked.rows[0].message.fingerprint, queue=DISPATCH_QUEUE)
    assert (response.status_code, response.json()) == (202, {"requested": 2})
    assert await ids(client, state="waiting") == [broken]
    nothing_left = await replay(2)
    assert (nothing_left.status_code, nothing_left.json()["actual_count"]) == (409, 1)
    assert (await replay(1)).json() == {"requested": 1}
    assert (await replay(0)).json() == {"requested": 0}


async def test_does_not_replay_a_message_of_a_queue_without_a_consumer(client: httpx.AsyncClient, world: World) -> None:
    id = await park(world, queue="elsewhere")

    single = await client.post(f"{PARKED}/{id}/replay")
    many = await client.post(f"{PARKED}/replay", json={"filter": {}, "expected_count": 1})

    for response in (single, many):
        assert (response.status_code, slug(response)) == (409, "not-replayable")
        assert "elsewhere" in response.json()["detail"]
    assert await ids(client, state="waiting") == [id]


@pytest.mark.parametrize(("method", "path"), [("GET", "/7"), ("POST", "/7/replay"), ("GET", "/999999999999999999")])
async def test_does_not_find_an_unknown_message(client: httpx.AsyncClient, method: str, path: str) -> None:
    response = await client.request(method, PARKED + path)

    assert (response.status_code, slug(response)) == (404, "no-such-parked-message")


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
async def test_names_the_invalid_parameter(client: httpx.AsyncClient, path: str, parameter: str) -> None:
    response = await client.get(PARKED + path)

    assert (response.status_code, slug(response)) == (422, "invalid")
    assert [fault["parameter"] for fault in response.json()["errors"]] == [parameter]


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
async def test_names_the_invalid_field_of_the_request(client: httpx.AsyncClient, body: object, pointer: str) -> None:
    response = await client.post(f"{PARKED}/replay", json=body)

    assert (response.status_code, slug(response)) == (422, "invalid")
    assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]


async def test_documents_the_types_of_parked_messages(client: httpx.AsyncClient) -> None:
    document = (await client.get("/api/v1/openapi.json")).json()

    schemas = document["components"]["schemas"]
    assert schemas["ParkedView"]["properties"]["id"]["type"] == "integer"
    operation = document["paths"]["/api/v1/parked/replay"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/ReplayRequest")
    assert set(operation["responses"]) >= {"202", "409", "422"}
    names = {parameter["name"] for parameter in document["paths"]["/api/v1/parked"]["get"]["parameters"]}
    assert names == {"queue", "fingerprint", "reason", "state", "limit", "cursor"}
