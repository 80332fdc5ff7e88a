"""A redispatched order goes to another driver, through four processes on real servers."""

from __future__ import annotations

from typing import Any

from gofleet.settings import load
from gofleet.verification import Inputs, InvariantState, verify
from tests.journeys.installation import Installation, Town
from tests.waiting import eventually

DRIVERS = 4
ORDER = "/api/v1/orders/o-1"


async def settled(town: Town) -> dict[str, Any]:
    """The order once it no longer waits."""

    async def ready() -> dict[str, Any] | None:
        order = (await town.http.get(ORDER)).raise_for_status().json()
        return order if order["status"] != "PENDING" else None

    return await eventually(ready, within=30) or {}


async def redispatched(town: Town) -> dict[str, Any]:
    (await town.http.post(f"{ORDER}/redispatch")).raise_for_status()
    return await settled(town)


async def test_each_redispatch_finds_another_driver_and_the_last_one_none(
    installation: Installation, town: Town
) -> None:
    installation.start("fleet", "relay", "worker", "api", DISPATCH_PATIENCE_SECONDS="1")
    await town.add_drivers(DRIVERS)
    await town.create_order("o-1")

    found = [(await settled(town))["driver_id"], *[(await redispatched(town))["driver_id"] for _ in range(DRIVERS - 1)]]
    last = await redispatched(town)

    assert len(set(found)) == DRIVERS, found
    assert (last["status"], last["reason"]) == ("MANUAL_DISPATCH", "no_driver")
    assert await dispatched_manually(town, found[-1]) == found[-1]

    async def holds() -> bool:
        report = await verify(load(installation.environment, dotenv=None), Inputs())
        return report.verdict is InvariantState.HOLDS

    await eventually(holds, within=30, every=0.5)


async def test_the_only_driver_gets_the_order_again_by_manual_dispatch(installation: Installation, town: Town) -> None:
    installation.start("fleet", "relay", "worker", "api", DISPATCH_PATIENCE_SECONDS="1")
    await town.add_drivers(1)
    await town.create_order("o-1")
    only = (await settled(town))["driver_id"]

    alone = await redispatched(town)

    assert (alone["status"], alone["reason"]) == ("MANUAL_DISPATCH", "no_driver")
    assert await dispatched_manually(town, only) == only


async def dispatched_manually(town: Town, driver_id: str) -> str:
    """The order's driver after its manual dispatch."""
    seen = await town.http.get(ORDER)
    answer = await town.http.post(
        f"{ORDER}/dispatch", json={"driver_id": driver_id}, headers={"If-Match": seen.headers["etag"]}
    )
    return answer.raise_for_status().json()["driver_id"]
