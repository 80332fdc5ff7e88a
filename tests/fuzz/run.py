"""Runs schemathesis against an API on real servers; it reads the routes from the description."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import STDOUT, run
from typing import Any
from uuid import uuid4

from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresOutbox
from gofleet.adapters.postgres.parked import PostgresParked
from gofleet.adapters.postgres.pool import create_pool
from gofleet.domain.errors import MessageRefused, OrderNotFound
from gofleet.domain.messages import AGGREGATE_ID, DISPATCH_QUEUE, EVENT_ID, Delivery
from gofleet.domain.parked import HandlingFailure
from gofleet.embedded import Postgres, Valkey
from gofleet.embedded.resources import free_ports
from tests.databases import conninfo_of
from tests.fuzz.hooks import AUTH_OFF, LEAKS
from tests.journeys.installation import Installation, an_installation
from tests.makers import an_order

ROOT = Path(__file__).resolve().parents[2]
ROWS = 20
"""Parked messages and failed events at the start."""


@dataclass(frozen=True)
class Outcome:
    """Result of schemathesis: its `report`, its output, and responses that contained a marker."""

    report: dict[str, Any]
    output: str
    leaks: str = ""

    @property
    def cases(self) -> int:
        return self.report["test_cases"]["generated"]

    @property
    def seconds(self) -> float:
        return self.report["running_time"]

    @property
    def flawless(self) -> bool:
        """Whether every operation was tested and no failure found."""
        phases = {phase["status"] for phase in self.report["phases"].values()}
        operations = self.report["operations"]
        everything = operations["tested"] == operations["total"] > 0
        return phases == {"success"} and everything and not self.report["failures"] and not self.report["errors"]


@contextmanager
def an_api(postgres: Postgres, valkey: Valkey, database: str, place: Path, **settings: str) -> Generator[Installation]:
    """All roles in one process on the migrated `database`, with Redis Streams as the broker."""
    db, redis = postgres.address, valkey.address
    environment = {
        "DB_HOST": db.host,
        "DB_PORT": str(db.port),
        "DB_USER": db.user,
        "DB_PASSWORD": db.password,
        "DB_NAME": database,
        "BROKER": "redis",
        "REDIS_HOST": redis.host,
        "REDIS_PORT": str(redis.port),
        "REDIS_PASSWORD": redis.password,
        "NAME_PREFIX": f"{uuid4().hex[:8]}.",
        "WEB_SERVER_PORT": str(free_ports(1)[0]),
        "GRPC_PORT": str(free_ports(1)[0]),
        **settings,
    }
    with an_installation(environment, place) as installation:
        installation.start("all", METRICS_PORT=str(free_ports(1)[0]))
        yield installation


async def furnish(postgres: Postgres, database: str) -> None:
    """Add parked messages and failed events, which no request creates, before a relay runs."""
    async with create_pool(conninfo_of(postgres, database), size=2, wait_seconds=5) as pool:
        orders, parked = PostgresOrders(pool), PostgresParked(pool)
        for number in range(ROWS):
            await orders.add(an_order(f"failed-{number}"))
            headers = {EVENT_ID: str(uuid4()), AGGREGATE_ID: f"gone-{number}"}
            await parked.add(
                Delivery(DISPATCH_QUEUE, b"{}", headers), HandlingFailure.of(OrderNotFound(f"gone-{number}"))
            )
        async with PostgresOutbox(pool, max_attempts=1).claiming(ROWS) as claim:
            await claim.settle([MessageRefused("no queue takes it")] * len(claim.messages))


def fuzz(url: str, place: Path, *, examples: int, seed: int, token: str | None = None, **variables: str) -> Outcome:
    """Test with at most `examples` requests for each operation and phase, equal for the same seed; files go to `place`.

    `token` authenticates the requests; `variables` are environment variables that the hooks read.
    """
    report = place / "report.json"
    words = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(ROOT / "tests/fuzz/schemathesis.toml")),
        *("run", f"{url}/api/v1/openapi.json", "--wait-for-schema", "20"),
        *("--checks", "all", "--continue-on-failure", "--no-color"),
        *("--max-examples", str(examples), "--seed", str(seed)),
        *("--report", "json", "--report-json-path", str(report)),
    ]
    if token is not None:
        words += ["--header", f"Authorization: Bearer {token}"]
    leaks = place / "leaks"
    leaks.write_text("")
    hooks = {"SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(ROOT), LEAKS: str(leaks)}
    hooks |= variables | ({AUTH_OFF: "yes"} if token is None else {})
    log = place / "schemathesis.log"
    with log.open("wb") as out:
        run(words, env={**os.environ, **hooks}, stdout=out, stderr=STDOUT, cwd=place, check=False)
    return Outcome(json.loads(report.read_bytes()), log.read_text(), leaks.read_text())
