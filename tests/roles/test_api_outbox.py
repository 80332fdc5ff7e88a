"""Failed outbox events over REST."""

from __future__ import annotations

import httpx

from gofleet.domain.errors import MessageRefused
from gofleet.testing.outbox import MemoryOutbox
from tests.makers import an_order
from tests.roles.conftest import World
from tests.roles.test_api import slug

FAILED = "/api/v1/outbox/failed"


async def fail_events(world: World, *order_ids: str) -> None:
    for order_id in order_ids:
        await world.orders.add(an_order(order_id))
    async with MemoryOutbox(world.orders, max_attempts=1).claiming(100) as claim:
        await claim.settle([MessageRefused("no queue takes it")] * len(claim.messages))


async def test_lists_failed_events_newest_first_in_pages(client: httpx.AsyncClient, world: World) -> None:
    await fail_events(world, "o-1", "o-2", "o-3")

    first = (await client.get(FAILED, params={"limit": 2})).json()
    second = (await client.get(FAILED, params={"limit": 2, "cursor": first["next_cursor"]})).json()

    assert [event["order_id"] for event in first["items"] + second["items"]] == ["o-3", "o-2", "o-1"]
    assert second["next_cursor"] is None
    event = second["items"][0]
    assert event == {
        "id": 1,
        "event_id": event["event_id"],
        "type": "orders.created",
        "order_id": "o-1",
        "sequence": 1,
        "attempts": 1,
        "error": "no queue takes it",
        "created_at": event["created_at"],
        "failed_at": event["failed_at"],
        "held_back": 0,
    }


async def test_retries_all_failed_events_if_their_number_is_as_expected(
    client: httpx.AsyncClient, world: World
) -> None:
    await fail_events(world, "o-1", "o-2")

    mismatch = await client.post(f"{FAILED}/retry", json={"expected_count": 1})
    assert (mismatch.status_code, slug(mismatch), mismatch.json()["actual_count"]) == (409, "count-mismatch", 2)
    assert len((await client.get(FAILED)).json()["items"]) == 2

    response = await client.post(f"{FAILED}/retry", json={"expected_count": 2})
    assert (response.status_code, response.json()) == (202, {"requested": 2})
    assert (await client.get(FAILED)).json() == {"items": [], "next_cursor": None}


async def test_names_the_invalid_field_of_the_request(client: httpx.AsyncClient) -> None:
    for body, pointer in (({}, "/expected_count"), ({"expected_count": -1}, "/expected_count")):
        response = await client.post(f"{FAILED}/retry", json=body)
        assert (response.status_code, slug(response), response.json()["errors"][0]["pointer"]) == (
            422,
            "invalid",
            pointer,
        )
    cursor = await client.get(FAILED, params={"cursor": "x"})
    assert (cursor.status_code, cursor.json()["errors"][0]["parameter"]) == (422, "cursor")
