"""Transitions of orders over REST: manual dispatch, redispatch, idempotence and If-Match."""

from __future__ import annotations

import httpx
import pytest

from gofleet.domain.driver import Driver
from gofleet.domain.order import Order, Reason, Status
from gofleet.domain.principal import WORKER
from tests.makers import an_order
from tests.roles.conftest import World
from tests.roles.test_api import ORDERS, slug


@pytest.fixture(autouse=True)
def drivers(world: World) -> None:
    world.drivers.rows.update({name: Driver(name, name.title()) for name in ("ana", "bia")})


async def stored_order(
    world: World, order_id: str = "o-1", *, manual: bool = False, driver_id: str | None = None
) -> Order:
    await world.orders.add(an_order(order_id))
    order = await world.orders.get(order_id)
    if manual:
        order.send_to_manual(Reason.NO_DRIVER, by=WORKER)
        await world.save(order)
    if driver_id:
        order.dispatch(driver_id, by=WORKER)
        await world.save(order)
    return order


async def dispatch(
    client: httpx.AsyncClient, driver_id: object = "ana", *, tag: str | None = '"2"', order_id: str = "o-1"
) -> httpx.Response:
    headers = {} if tag is None else {"If-Match": tag}
    return await client.post(f"{ORDERS}/{order_id}/dispatch", json={"driver_id": driver_id}, headers=headers)


async def test_dispatches_an_escalated_order_manually_with_its_etag(client: httpx.AsyncClient, world: World) -> None:
    await stored_order(world, manual=True)
    seen = await client.get(f"{ORDERS}/o-1")

    response = await dispatch(client, tag=seen.headers["etag"])
    repeated = await dispatch(client, tag=seen.headers["etag"])

    assert (response.status_code, response.headers["etag"]) == (200, '"3"')
    assert response.json() == (await client.get(f"{ORDERS}/o-1")).json()
    assert (response.json()["status"], response.json()["driver_id"], response.json()["reason"]) == (
        "DISPATCHED",
        "ana",
        None,
    )
    assert (repeated.status_code, repeated.content) == (200, response.content)
    assert len(world.orders.outbox) == 3


@pytest.mark.parametrize(
    ("tag", "status", "problem"),
    [
        (None, 428, "precondition-required"),
        ('"1"', 412, "version-mismatch"),
        ('"3"', 412, "version-mismatch"),
        ('"02"', 412, "version-mismatch"),
        ('"two"', 412, "version-mismatch"),
        ('""', 412, "version-mismatch"),
        ('W/"2"', 200, None),  # as nginx and Cloudflare mark a tag
        ('"2-gzip"', 200, None),  # as Apache does
        ('W/"2;br", "7"', 200, None),
        ('"2--gzip"', 200, None),
        ('W/"1"', 412, "version-mismatch"),
        ('"2-"', 412, "version-mismatch"),
        ('"2-3"', 412, "version-mismatch"),
        ('"1-gzip"', 412, "version-mismatch"),
        ('"' + "9" * 5000 + '"', 412, "version-mismatch"),
        ("2", 400, "malformed-tag"),
        ('"2', 400, "malformed-tag"),
        ('"2" "2"', 400, "malformed-tag"),
        ("", 400, "malformed-tag"),
        ('*, "2"', 400, "malformed-tag"),
        ('"2"', 200, None),
        ('"1", "2"', 200, None),
        ('W/"1" ,"2"', 200, None),
        ("*", 200, None),
    ],
)
async def test_manual_dispatch_requires_the_version_in_if_match(
    client: httpx.AsyncClient, world: World, tag: str | None, status: int, problem: str | None
) -> None:
    await stored_order(world, manual=True)

    response = await dispatch(client, tag=tag)

    assert response.status_code == status
    if problem:
        assert slug(response) == problem
        assert world.orders.rows["o-1"].status is Status.MANUAL_DISPATCH
    if status == 412:
        assert response.headers["etag"] == '"2"'


async def test_distinguishes_unknown_busy_and_invalid_drivers(client: httpx.AsyncClient, world: World) -> None:
    await stored_order(world, manual=True)
    await stored_order(world, "o-2", driver_id="bia")

    unknown, busy, wrong, missing = [await dispatch(client, driver) for driver in ("unknown", "bia", "\n", None)]

    assert (unknown.status_code, slug(unknown)) == (422, "unknown-driver")
    assert unknown.json()["errors"][0]["pointer"] == "/driver_id"
    assert (busy.status_code, slug(busy)) == (409, "driver-busy")
    for invalid in (wrong, missing):
        assert (invalid.status_code, slug(invalid)) == (422, "invalid")
        assert invalid.json()["errors"][0]["pointer"] == "/driver_id"
    assert world.orders.rows["o-1"].status is Status.MANUAL_DISPATCH


async def test_does_not_dispatch_a_dispatched_order_to_another_driver(client: httpx.AsyncClient, world: World) -> None:
    await stored_order(world, driver_id="ana")

    other, stale = await dispatch(client, "bia"), await dispatch(client, "bia", tag='"1"')
    missing = await dispatch(client, order_id="o-9")

    assert (other.status_code, slug(other)) == (409, "invalid-transition")
    assert (stale.status_code, slug(stale)) == (412, "version-mismatch")
    assert (missing.status_code, slug(missing)) == (404, "no-such-order")


@pytest.mark.parametrize("manual", [True, False])
async def test_redispatch_returns_an_order_to_pending(client: httpx.AsyncClient, world: World, manual: bool) -> None:
    await stored_order(world, manual=manual, driver_id=None if manual else "ana")

    first = await client.post(f"{ORDERS}/o-1/redispatch", headers={"If-Match": '"2"'})
    repeated = await client.post(f"{ORDERS}/o-1/redispatch", headers={"If-Match": '"2"'})

    assert (first.status_code, first.json()["status"], first.headers["etag"]) == (200, "PENDING", '"3"')
    assert (first.json()["driver_id"], first.json()["dispatched_at"]) == (None, None)
    assert (repeated.status_code, repeated.content) == (200, first.content)
    assert world.orders.outbox[-1].message.type == "orders.redispatched"


async def test_does_not_redispatch_a_final_order(client: httpx.AsyncClient, world: World) -> None:
    await stored_order(world)
    await client.post(f"{ORDERS}/o-1/cancel")

    response = await client.post(f"{ORDERS}/o-1/redispatch")

    assert (response.status_code, slug(response)) == (409, "invalid-transition")


@pytest.mark.parametrize("verb", ["cancel", "deliver", "redispatch"])
async def test_every_transition_honours_an_optional_if_match(
    client: httpx.AsyncClient, world: World, verb: str
) -> None:
    await stored_order(world, driver_id="ana")

    async def post(tag: str | None) -> httpx.Response:
        headers = {"If-Match": tag} if tag else {}
        return await client.post(f"{ORDERS}/o-1/{verb}", headers=headers)

    stale, malformed = await post('"1"'), await post("1")
    assert (stale.status_code, slug(stale)) == (412, "version-mismatch")
    assert (malformed.status_code, slug(malformed)) == (400, "malformed-tag")
    assert (await post('"2"')).headers["etag"] == '"3"'
    assert (await post('"2"')).status_code == 200  # done before: a retry after a lost response has the old ETag
    assert (await post(None)).status_code == 200
