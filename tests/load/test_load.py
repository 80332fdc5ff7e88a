"""The load script, short and without looking at the clock: what must hold on any machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.installation import Installation
from tests.journeys.truth import settled, truth
from tests.load.run import k6, outage
from tests.waiting import eventually

CUSTOMERS = 3
FEW_DRIVERS = 40
SOON = {
    "RETRY_TIERS_SECONDS": "1",
    "WORKER_MAX_ATTEMPTS": "2",
    "BREAKER_MIN_CALLS": "1",
    "BREAKER_WINDOW_SECONDS": "1",  # no more than a retry's delay: what succeeded before the outage is then out of it
    "BREAKER_OPEN_SECONDS": "1",
    "BREAKER_PROBES": "1",  # the first success closes it, and every customer ends with one
}
"""The product's own patience with a fleet that is away, shortened; the breaker opens and closes for certain."""


@pytest.mark.timeout(300)
async def test_a_ramp_of_orders_is_dispatched_and_delivered(
    installation: Installation, clean_database: str, tmp_path: Path
) -> None:
    installation.start("fleet", "relay", "worker", "api")

    with k6(installation.api, "ramp", tmp_path, RATE=8, SECONDS=20, DRIVERS=FEW_DRIVERS, TIMES="off") as load:
        outcome = load.ended(within=240)

    assert outcome.code == 0, outcome.said
    await eventually(lambda: settled(clean_database), within=30)
    found = truth(clean_database)
    assert found.faults == []
    assert found.by_status["DELIVERED"] == outcome.metrics["orders_dispatched"]["passes"] > 50


@pytest.mark.timeout(300)
async def test_with_the_fleet_away_orders_go_to_people_and_back_to_drivers_after_it(
    installation: Installation, clean_database: str, tmp_path: Path
) -> None:
    fleet, _, worker, _ = installation.start("fleet", "relay", "worker", "api", **SOON)
    given = {"CUSTOMERS": CUSTOMERS, "DRIVERS": FEW_DRIVERS, "SECONDS": 240}

    with k6(installation.api, "breaker", tmp_path, **given) as load:
        await outage(load, installation, fleet, clean_database, customers=CUSTOMERS)
        outcome = load.ended(within=240)

    assert outcome.code == 0, outcome.said
    assert outcome.count("customers_recovered") == CUSTOMERS
    await eventually(lambda: settled(clean_database), within=30)
    assert truth(clean_database).faults == []
    said = [str(event.get("event", "")) for event in worker.events()]
    opened, closed = said.index("fleet breaker is open"), len(said) - said[::-1].index("fleet breaker is closed")
    assert opened < closed


def test_the_script_finds_an_installation_that_breaks_its_promises(installation: Installation, tmp_path: Path) -> None:
    installation.start("fleet", "api")  # nobody dispatches
    given = {"RATE": 5, "SECONDS": 5, "DRIVERS": 5, "PATIENCE": 1, "TIMES": "off"}

    with k6(installation.api, "ramp", tmp_path, **given) as load:
        outcome = load.ended(within=100)

    assert outcome.code == 99, outcome.said  # k6's for a threshold
    assert outcome.metrics["orders_settled"]["fails"] > 0
