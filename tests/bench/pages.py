"""What a page of GET /orders costs in a table of 200,000: the first one and the thousandth, in turn."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from psycopg.conninfo import conninfo_to_dict

from gofleet.adapters.postgres.migrate import migrate
from gofleet.embedded import Postgres, running
from gofleet.parts import free_port
from tests.databases import conninfo_of
from tests.journeys.installation import an_installation
from tests.many_orders import MANY, fill

LIMIT = 50
DEEP = 1000
MOST = 1.5
"""The thousandth page may take so many times as long as the first."""


@dataclass(frozen=True)
class Pages:
    """Milliseconds, medians of `rounds`."""

    first: float
    late: float
    rounds: int

    @property
    def ratio(self) -> float:
        return self.late / self.first

    def __str__(self) -> str:
        return (
            f"| page of {LIMIT} of {MANY:,} orders | median ms |\n| --- | --- |\n"
            f"| 1 | {self.first:.2f} |\n| {DEEP:,} | {self.late:.2f} |\n"
            f"ratio {self.ratio:.2f} (at most {MOST}), {self.rounds} rounds in turn"
        )


def measured(rounds: int) -> Pages:
    """On a private PostgreSQL that keeps its data on disk, as anybody's would."""
    server = Postgres(durable=True)
    with running(server), tempfile.TemporaryDirectory(prefix="gofleet-bench-") as place:
        conninfo = conninfo_of(server, "gofleet")
        migrate(conninfo)
        fill(conninfo)
        at = conninfo_to_dict(conninfo)
        environment = {f"DB_{name}": str(at[key]) for name, key in DB_SETTINGS.items()}
        environment["WEB_SERVER_PORT"] = str(free_port("127.0.0.1", 18_500))
        with an_installation(os.environ | environment, Path(place)) as installation:
            installation.start("api")
            with httpx.Client(base_url=installation.api, timeout=30, trust_env=False) as http:
                return _timed(http, rounds)


DB_SETTINGS = {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password", "NAME": "dbname"}


def _timed(http: httpx.Client, rounds: int) -> Pages:
    cursor = None
    for _ in range(DEEP - 1):
        cursor = _page(http, cursor)["next_cursor"]
    took: dict[str | None, list[float]] = {None: [], cursor: []}
    for _ in range(rounds):
        for where, times in took.items():
            began = time.perf_counter()
            page = _page(http, where)
            times.append((time.perf_counter() - began) * 1000)
            if len(page["items"]) != LIMIT:
                raise AssertionError(f"a page of {len(page['items'])}")
    return Pages(statistics.median(took[None]), statistics.median(took[cursor]), rounds)


def _page(http: httpx.Client, cursor: str | None) -> dict[str, Any]:
    query = {"limit": LIMIT} | ({"cursor": cursor} if cursor else {})
    return http.get("/api/v1/orders", params=query).raise_for_status().json()
