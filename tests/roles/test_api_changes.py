"""PATCH of an order: a merge patch of its data, by version, at most once a second."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from gofleet.domain.order import Status
from tests.makers import an_order
from tests.roles.conftest import World
from tests.roles.test_api import ORDERS, slug

DATA = {"reference": "A-1001", "items": [{"name": "Pizza", "quantity": 2}], "metadata": {"shop": "centro", "till": "1"}}
ORDER = {"id": "o-1", "price": 10, "tax": 1, **DATA}


async def patch(client: httpx.AsyncClient, body: object, tag: str | None = '"1"', id: str = "o-1") -> httpx.Response:
    return await client.patch(f"{ORDERS}/{id}", json=body, headers={} if tag is None else {"If-Match": tag})


async def test_changes_what_is_sent_and_nothing_else(client: httpx.AsyncClient, world: World) -> None:
    await client.post(ORDERS, json=ORDER)

    response = await patch(client, {"reference": None, "metadata": {"till": None, "note": "gate 2"}})

    assert (response.status_code, response.headers["etag"]) == (200, '"2"')
    body = response.json()
    assert (body["items"], body["metadata"]) == (DATA["items"], {"shop": "centro", "note": "gate 2"})
    assert "reference" not in body
    assert (await client.get(f"{ORDERS}/o-1")).json() == body
    assert [row.message.type for row in world.orders.outbox] == ["orders.created", "orders.updated"]
    events = (await client.get(f"{ORDERS}/o-1/events")).json()["items"]
    assert [event["type"] for event in events] == ["orders.created", "orders.updated"]


async def test_the_creation_is_answered_as_before_a_change(client: httpx.AsyncClient) -> None:
    first = await client.post(ORDERS, json=ORDER)
    changed = await patch(client, {"reference": "B", "items": None, "metadata": None})

    repeated = await client.post(ORDERS, json=ORDER)
    other = await client.post(ORDERS, json={**ORDER, "reference": "B"})

    assert changed.status_code == 200
    assert (repeated.status_code, repeated.content) == (200, first.content)
    assert (other.status_code, slug(other)) == (409, "order-taken")


async def test_a_repeated_change_is_answered_with_the_order(client: httpx.AsyncClient) -> None:
    """With the tag of before, because a client that received no answer has no other one."""
    await client.post(ORDERS, json=ORDER)
    first = await patch(client, {"reference": "B"})

    again = await patch(client, {"reference": "B"})

    assert (again.status_code, again.content, again.headers["etag"]) == (200, first.content, '"2"')


async def test_a_change_without_or_with_another_version_is_refused(client: httpx.AsyncClient) -> None:
    await client.post(ORDERS, json=ORDER)

    for tag, status, problem in (
        (None, 428, "precondition-required"),
        ('"7"', 412, "version-mismatch"),
        ("1", 400, None),
    ):
        response = await patch(client, {"reference": "B"}, tag)
        assert (response.status_code, problem or slug(response)) == (status, slug(response))
    assert (await client.get(f"{ORDERS}/o-1")).json()["version"] == 1


async def test_an_order_changes_at_most_once_a_second(client: httpx.AsyncClient, world: World) -> None:
    await client.post(ORDERS, json=ORDER)
    assert (await patch(client, {"reference": "B"})).status_code == 200

    refused = await patch(client, {"reference": "C"}, '"2"')
    assert (refused.status_code, slug(refused), refused.headers["retry-after"]) == (429, "too-many-changes", "1")
    stored = world.orders.rows["o-1"]
    assert stored.changed_at is not None
    stored.changed_at -= timedelta(seconds=1)
    assert (await patch(client, {"reference": "C"}, '"2"')).json()["reference"] == "C"


@pytest.mark.parametrize("status", [Status.DELIVERED, Status.CANCELLED])
async def test_an_order_that_has_ended_does_not_change(client: httpx.AsyncClient, world: World, status: Status) -> None:
    await world.orders.add(an_order("o-1", status))
    tag = (await client.get(f"{ORDERS}/o-1")).headers["etag"]

    response = await patch(client, {"reference": "B"}, tag)

    assert (response.status_code, slug(response)) == (409, "order-ended")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"status": "DELIVERED"}, "/status"),
        ({"price": 1}, "/price"),
        ({"reference": 7}, "/reference"),
        ({"reference": ""}, "/reference"),
        ({"items": [{"name": "x"}]}, "/items/0/quantity"),
        ({"metadata": {"a": 1}}, "/metadata"),
        ({"metadata": {"a": "\0"}}, "/metadata"),
        ([], ""),
    ],
)
async def test_an_invalid_change_is_refused(client: httpx.AsyncClient, body: object, pointer: str) -> None:
    await client.post(ORDERS, json=ORDER)

    response = await patch(client, body)

    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer
    assert (await client.get(f"{ORDERS}/o-1")).json()["version"] == 1


async def test_too_many_pairs_together_are_refused(client: httpx.AsyncClient) -> None:
    """Valid by themselves, and too many with those that the order has."""
    await client.post(ORDERS, json=ORDER)

    response = await patch(client, {"metadata": {str(n): "x" for n in range(19)}})

    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/metadata")


async def test_an_unknown_order_is_not_found(client: httpx.AsyncClient) -> None:
    response = await patch(client, {"reference": "B"})

    assert (response.status_code, slug(response)) == (404, "no-such-order")


async def test_no_changes_are_no_version(client: httpx.AsyncClient) -> None:
    await client.post(ORDERS, json=ORDER)

    assert (await patch(client, {})).json()["version"] == 1
