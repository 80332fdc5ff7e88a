"""Moving orders over REST: by hand, again, and only if nobody else has moved them meanwhile."""

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


async def kept(world: World, order_id: str = "o-1", *, by_hand: bool = False, driver_id: str | None = None) -> Order:
    await world.orders.add(an_order(order_id))
    order = await world.orders.get(order_id)
    if by_hand:
        order.send_to_manual(Reason.NO_DRIVER, by=WORKER)
        await world.orders.save(order)
    if driver_id:
        order.dispatch(driver_id, by=WORKER)
        await world.orders.save(order)
    return order


async def give(
    client: httpx.AsyncClient, driver_id: object = "ana", *, tag: str | None = '"2"', order_id: str = "o-1"
) -> httpx.Response:
    headers = {} if tag is None else {"If-Match": tag}
    return await client.post(f"{ORDERS}/{order_id}/dispatch", json={"driver_id": driver_id}, headers=headers)


async def test_an_order_in_hand_is_given_to_a_driver_by_its_tag(client: httpx.AsyncClient, world: World) -> None:
    await kept(world, by_hand=True)
    seen = await client.get(f"{ORDERS}/o-1")

    answer = await give(client, tag=seen.headers["etag"])
    again = await give(client, tag=seen.headers["etag"])

    assert (answer.status_code, answer.headers["etag"]) == (200, '"3"')
    assert answer.json() == (await client.get(f"{ORDERS}/o-1")).json()
    assert (answer.json()["status"], answer.json()["driver_id"], answer.json()["reason"]) == ("DISPATCHED", "ana", None)
    assert (again.status_code, again.content) == (200, answer.content)
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
        ('W/"2"', 412, "version-mismatch"),
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
async def test_a_dispatch_by_hand_is_for_the_version_that_was_seen(
    client: httpx.AsyncClient, world: World, tag: str | None, status: int, problem: str | None
) -> None:
    await kept(world, by_hand=True)

    answer = await give(client, tag=tag)

    assert answer.status_code == status
    if problem:
        assert slug(answer) == problem
        assert world.orders.rows["o-1"].status is Status.MANUAL_DISPATCH
    if status == 412:
        assert answer.headers["etag"] == '"2"'


async def test_a_driver_who_cannot_take_it_is_told_apart(client: httpx.AsyncClient, world: World) -> None:
    await kept(world, by_hand=True)
    await kept(world, "o-2", driver_id="bia")

    unknown, busy, wrong, missing = [await give(client, driver) for driver in ("nobody", "bia", "\n", None)]

    assert (unknown.status_code, slug(unknown)) == (422, "unknown-driver")
    assert unknown.json()["errors"][0]["pointer"] == "/driver_id"
    assert (busy.status_code, slug(busy)) == (409, "driver-busy")
    for refused in (wrong, missing):
        assert (refused.status_code, slug(refused)) == (422, "invalid")
        assert refused.json()["errors"][0]["pointer"] == "/driver_id"
    assert world.orders.rows["o-1"].status is Status.MANUAL_DISPATCH


async def test_an_order_that_is_under_way_is_given_to_nobody_else(client: httpx.AsyncClient, world: World) -> None:
    await kept(world, driver_id="ana")

    other, stale, nobodys = await give(client, "bia"), await give(client, "bia", tag='"1"'), None
    nobodys = await give(client, order_id="o-9")

    assert (other.status_code, slug(other)) == (409, "invalid-transition")
    assert (stale.status_code, slug(stale)) == (412, "version-mismatch")
    assert (nobodys.status_code, slug(nobodys)) == (404, "no-such-order")


@pytest.mark.parametrize("by_hand", [True, False])
async def test_a_redispatched_order_waits_again(client: httpx.AsyncClient, world: World, by_hand: bool) -> None:
    await kept(world, by_hand=by_hand, driver_id=None if by_hand else "ana")

    first = await client.post(f"{ORDERS}/o-1/redispatch", headers={"If-Match": '"2"'})
    again = await client.post(f"{ORDERS}/o-1/redispatch", headers={"If-Match": '"2"'})

    assert (first.status_code, first.json()["status"], first.headers["etag"]) == (200, "PENDING", '"3"')
    assert (first.json()["driver_id"], first.json()["dispatched_at"]) == (None, None)
    assert (again.status_code, again.content) == (200, first.content)
    assert world.orders.outbox[-1].message.type == "orders.redispatched"


async def test_does_not_redispatch_a_final_order(client: httpx.AsyncClient, world: World) -> None:
    await kept(world)
    await client.post(f"{ORDERS}/o-1/cancel")

    answer = await client.post(f"{ORDERS}/o-1/redispatch")

    assert (answer.status_code, slug(answer)) == (409, "invalid-transition")


@pytest.mark.parametrize("verb", ["cancel", "deliver", "redispatch"])
async def test_every_verb_honours_the_tag_if_there_is_one(client: httpx.AsyncClient, world: World, verb: str) -> None:
    await kept(world, driver_id="ana")

    async def ask(tag: str | None) -> httpx.Response:
        headers = {"If-Match": tag} if tag else {}
        return await client.post(f"{ORDERS}/o-1/{verb}", headers=headers)

    stale, malformed = await ask('"1"'), await ask("1")
    assert (stale.status_code, slug(stale)) == (412, "version-mismatch")
    assert (malformed.status_code, slug(malformed)) == (400, "malformed-tag")
    assert (await ask('"2"')).headers["etag"] == '"3"'
    assert (await ask('"2"')).status_code == 200  # done before: who missed the answer asks with the old tag
    assert (await ask(None)).status_code == 200
