"""The load script, short and without its time thresholds: what must hold on any machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.installation import Installation
from tests.journeys.truth import read_state, settled
from tests.load.run import k6, outage
from tests.waiting import eventually

CUSTOMERS = 3
DRIVERS = 40
FAST_FALLBACK = {
    "RETRY_TIERS_SECONDS": "1",
    "WORKER_MAX_ATTEMPTS": "2",
    "BREAKER_MIN_CALLS": "1",
    "BREAKER_WINDOW_SECONDS": "1",  # at most a retry's delay: successes before the outage have then left the window
    "BREAKER_OPEN_SECONDS": "1",
    "BREAKER_PROBES": "1",  # the first success closes the breaker, and every customer ends with a success
}
"""Short limits for an unavailable fleet; with them the breaker certainly opens and closes."""


@pytest.mark.timeout(300)
async def test_a_ramp_of_orders_is_dispatched_and_delivered(
    installation: Installation, clean_database: str, tmp_path: Path
) -> None:
    installation.start("fleet", "relay", "worker", "api")

    with k6(installation.api, "ramp", tmp_path, RATE=8, SECONDS=20, DRIVERS=DRIVERS, TIMES="off") as load:
        outcome = load.ended(within=240)

    assert outcome.code == 0, outcome.output
    await eventually(lambda: settled(clean_database), within=30)
    result = read_state(clean_database)
    assert result.violations == []
    assert result.by_status["DELIVERED"] == outcome.metrics["orders_dispatched"]["passes"] > 50


@pytest.mark.timeout(300)
async def test_orders_are_escalated_during_a_fleet_outage_and_dispatched_after_it(
    installation: Installation, clean_database: str, tmp_path: Path
) -> None:
    fleet, _, worker, _ = installation.start("fleet", "relay", "worker", "api", **FAST_FALLBACK)
    variables = {"CUSTOMERS": CUSTOMERS, "DRIVERS": DRIVERS, "SECONDS": 240}

    with k6(installation.api, "breaker", tmp_path, **variables) as load:
        await outage(load, installation, fleet, clean_database, customers=CUSTOMERS)
        outcome = load.ended(within=240)

    assert outcome.code == 0, outcome.output
    assert outcome.count("customers_recovered") == CUSTOMERS
    await eventually(lambda: settled(clean_database), within=30)
    assert read_state(clean_database).violations == []
    logged = [str(event.get("event", "")) for event in worker.events()]
    opened, closed = logged.index("fleet breaker is open"), len(logged) - logged[::-1].index("fleet breaker is closed")
    assert opened < closed


def test_script_detects_an_installation_that_does_not_dispatch(installation: Installation, tmp_path: Path) -> None:
    installation.start("fleet", "api")  # no worker dispatches
    variables = {"RATE": 5, "SECONDS": 5, "DRIVERS": 5, "WAIT": 1, "TIMES": "off"}

    with k6(installation.api, "ramp", tmp_path, **variables) as load:
        outcome = load.ended(within=100)

    assert outcome.code == 99, outcome.output  #  k6's exit code for a missed threshold
    assert outcome.metrics["orders_settled"]["fails"] > 0
