"""Exclusions: automatic dispatch does not give an order to a driver that a redispatch took it from."""

from __future__ import annotations

import asyncio
from functools import partial
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.errors import UniqueViolation

from gofleet.domain.errors import DriverBusy
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order, Status
from gofleet.domain.principal import CLIENT, WORKER
from tests.databases import login_of
from tests.makers import an_order, dispatch_to, escalate
from tests.ports.stores import Store, store
from tests.waiting import eventually

__all__ = ["store"]

redispatch = partial(Order.redispatch, exclusion_seconds=600)


def a_receipt() -> Receipt:
    return Receipt("dispatch", str(uuid4()))


async def dispatch_automatically(store: Store, order_id: str, driver_id: str, receipt: Receipt | None = None) -> None:
    order = await store.orders.get(order_id)
    order.dispatch(driver_id, by=WORKER)
    await store.orders.save(order, receipt)


async def excluded(store: Store, order_id: str = "o-1") -> list[str]:
    return list(await store.orders.excluded_drivers(order_id, 10))


async def test_a_worker_may_not_dispatch_to_an_excluded_driver(store: Store) -> None:
    await store.kept("o-1", dispatch_to("ana"), redispatch)
    receipt = a_receipt()

    with pytest.raises(DriverBusy):
        await dispatch_automatically(store, "o-1", "ana", receipt)

    order = await store.orders.get("o-1")
    assert (order.status, order.version, await excluded(store)) == (Status.PENDING, 3, ["ana"])
    assert await store.inbox.outcome(receipt) is None
    await dispatch_automatically(store, "o-1", "bia", receipt)
    assert (await store.orders.get("o-1")).driver_id == "bia"


async def test_a_manual_dispatch_ignores_exclusions(store: Store) -> None:
    await store.kept("o-1", dispatch_to("ana"), redispatch)

    order = await store.orders.get("o-1")
    order.dispatch("ana", by=CLIENT)
    await store.orders.save(order)

    assert (await store.orders.get("o-1")).driver_id == "ana"


async def test_an_exclusion_concerns_its_order_only(store: Store) -> None:
    await store.kept("o-1", dispatch_to("ana"), redispatch)
    await store.kept("o-2", escalate, redispatch)

    await dispatch_automatically(store, "o-2", "ana")

    assert await excluded(store, "o-2") == []  # it had no driver
    assert (await store.orders.get("o-2")).driver_id == "ana"


async def test_an_exclusion_ends(store: Store) -> None:
    await store.kept("o-1", dispatch_to("ana"), partial(Order.redispatch, exclusion_seconds=0.3))
    with pytest.raises(DriverBusy):
        await dispatch_automatically(store, "o-1", "ana")

    async def ended() -> bool:
        return await excluded(store) == []

    await eventually(ended)
    await dispatch_automatically(store, "o-1", "ana")
    assert (await store.orders.get("o-1")).driver_id == "ana"


async def test_zero_seconds_exclude_no_driver(store: Store) -> None:
    await store.kept("o-1", dispatch_to("ana"), partial(Order.redispatch, exclusion_seconds=0))

    assert await excluded(store) == []
    await dispatch_automatically(store, "o-1", "ana")
    assert (await store.orders.get("o-1")).driver_id == "ana"


async def test_each_redispatch_excludes_one_more_driver(store: Store) -> None:
    await store.kept("o-1", dispatch_to("ana"), redispatch, dispatch_to("bia"), redispatch)
    assert await excluded(store) == ["bia", "ana"]

    for driver_id in ("ana", "bia"):
        with pytest.raises(DriverBusy):
            await dispatch_automatically(store, "o-1", driver_id)


async def test_the_latest_exclusions_are_read_each_driver_once(store: Store) -> None:
    moves = [move for id in ("ana", "bia", "cai", "ana") for move in (dispatch_to(id), redispatch)]
    await store.kept("o-1", *moves)

    assert await store.orders.excluded_drivers("o-1", 2) == ["ana", "cai"]
    with pytest.raises(DriverBusy):
        await dispatch_automatically(store, "o-1", "bia")  # not read, and refused all the same


async def test_an_excluded_driver_fails_only_its_own_order_of_a_batch(store: Store) -> None:
    await store.kept("o-0", dispatch_to("ana"), redispatch)
    for number in range(1, 6):
        await store.orders.add(an_order(f"o-{number}"))
    drivers = {f"o-{number}": "ana" if number == 0 else f"driver-{number}" for number in range(6)}

    outcomes = await asyncio.gather(
        *(dispatch_automatically(store, id, driver_id, a_receipt()) for id, driver_id in drivers.items()),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes] == [DriverBusy, *[type(None)] * 5]


async def test_ended_exclusions_are_pruned_in_time_and_no_others(store: Store) -> None:
    briefly = partial(Order.redispatch, exclusion_seconds=0.001)
    await store.kept("ended", *(move for id in ("ana", "bia", "cai") for move in (dispatch_to(id), briefly)))
    await store.kept("running", dispatch_to("dan"), redispatch)

    async def ended() -> bool:
        return await excluded(store, "ended") == []

    await eventually(ended)

    assert await store.orders.prune_exclusions(1, 100) == 0
    assert await store.orders.prune_exclusions(0, 2) == 2
    assert await store.orders.prune_exclusions(0, 100) == 1
    assert await excluded(store, "running") == ["dan"]


OLD_TRANSITION = """update orders set status = %s, driver_id = %s, reason = null, version = version + 1, moved_by = %s,
    moved_trace = null, dispatch_epoch = 0, pending_since = now(), dispatched_at = now() where id = 'o-1'"""
"""As the release before exclusions writes it."""


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
async def test_a_worker_of_the_release_before_finds_the_driver_busy(store: Store, clean_database: str) -> None:
    await store.kept("o-1", dispatch_to("ana"), redispatch)
    with psycopg.connect(make_conninfo(clean_database, user=login_of("worker")), autocommit=True) as worker:
        with pytest.raises(UniqueViolation) as refused:
            worker.execute(OLD_TRANSITION, ("DISPATCHED", "ana", WORKER))
        worker.execute(OLD_TRANSITION, ("DISPATCHED", "bia", WORKER))

    assert refused.value.diag.constraint_name == "one_live_order_per_driver"
    assert (await store.orders.get("o-1")).driver_id == "bia"


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
async def test_an_api_of_the_release_before_excludes_no_driver(store: Store, clean_database: str) -> None:
    await store.kept("o-1", dispatch_to("ana"))
    with psycopg.connect(make_conninfo(clean_database, user=login_of("api")), autocommit=True) as api:
        api.execute(OLD_TRANSITION, ("PENDING", None, CLIENT))

    assert await excluded(store) == []
