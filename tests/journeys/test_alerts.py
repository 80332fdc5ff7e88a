"""A real Prometheus scrapes a live run: every panel has data, and a killed fleet raises an alert."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.journeys.installation import Installation, Town
from tests.observability.burning import BURNS, EVENTS, RATIO
from tests.observability.dashboards import queries
from tests.observability.server import Prometheus, a_prometheus
from tests.waiting import eventually

ROLES = ("fleet", "relay", "worker", "api")
NOTICED = {"SuccessBurns1h", "BreakerOpen", "ProcessDown", "FleetAbsent"}


@asynccontextmanager
async def customers(town: Town) -> AsyncGenerator[None]:
    """Create ten orders a second and deliver them, during the block."""

    async def ordering() -> None:
        number = 0
        while True:
            await town.create_order(f"o-{number}")
            await town.deliver_all()
            number += 1
            await asyncio.sleep(0.1)

    task = asyncio.create_task(ordering())
    try:
        yield
        assert not task.done(), task.result()
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.mark.timeout(300)
async def test_panels_have_data_and_alerts_fire(installation: Installation, town: Town, tmp_path: Path) -> None:
    started = dict(
        zip(ROLES, installation.start(*ROLES, RETRY_TIERS_SECONDS="1", POSITION_STALE_SECONDS="600"), strict=True)
    )
    await town.add_drivers(40)
    place = tmp_path / "prometheus"
    place.mkdir()
    ports = {role: process.metrics_port for role, process in started.items()}
    with a_prometheus(place, ports) as prometheus:
        await eventually(prometheus.ready, within=30)
        async with customers(town):
            await _panels(prometheus)
            assert not NOTICED & prometheus.firing()

            started["fleet"].send_signal(signal.SIGKILL)

            await eventually(lambda: prometheus.firing() >= NOTICED, within=90, every=0.5)
            await _panels(prometheus)
    assert "level=error" not in prometheus.log.read_text()


async def _panels(prometheus: Prometheus) -> None:
    """Every query of every panel and every recorded window has data."""
    empty = [(title, expr.replace("$__rate_interval", "15s")) for title, expr in queries()]
    empty += [(f"recorded {burn.long}", f"{name}{burn.long}") for name in (RATIO, EVENTS) for burn in BURNS]

    def all_have_data() -> bool:
        nonlocal empty
        empty = [(title, expr) for title, expr in empty if not prometheus.has_data(expr)]
        return not empty

    try:
        await eventually(all_have_data, within=60, every=1)
    except AssertionError as error:
        raise AssertionError(f"these show nothing: {empty}") from error
