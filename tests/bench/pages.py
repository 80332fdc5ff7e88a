"""What a page of GET /orders costs in a table of 200,000: the first one and the thousandth, in turn."""

from __future__ import annotations

import statistics
import time
from typing import Any

import httpx

from tests.bench.figures import Aim, Figure, ratio
from tests.bench.servers import Bench
from tests.many_orders import ORDERS, fill

CASE = "pages"
LIMIT = 50
DEEP = 1000
TIMES = 100
"""Requests for each page, in turn, for one median."""
RATIO_MAX = 1.5


async def measure(at: Bench) -> list[Figure]:
    many, deep, times = (5_000, 20, 5) if at.smoke else (ORDERS, DEEP, TIMES)
    with at.servers.installation(CASE) as measured:
        fill(measured.conninfo, many)
        measured.installation.start("api")
        with httpx.Client(base_url=measured.installation.api, timeout=30, trust_env=False) as http:
            late = _cursor(http, deep)
            took = [_timed(http, late, times) for _ in at.rounds]
    first = _figure("page 1", [pair[0] for pair in took])
    last = _figure(f"page {deep:,} of {many:,} orders", [pair[1] for pair in took])
    aim = Aim(f"at most {RATIO_MAX} times as long as page 1", most=RATIO_MAX)
    return [first, last, ratio(last, first, f"page {deep:,}, of page 1", aim)]


def _figure(name: str, values: list[float]) -> Figure:
    return Figure(CASE, name, "ms", tuple(values), better="lower")


def _cursor(http: httpx.Client, deep: int) -> str:
    """Of the page after that number of orders."""
    cursor = None
    for _ in range(deep - 1):
        cursor = _page(http, cursor)["next_cursor"]
    if cursor is None:
        raise AssertionError("the pages ended too soon")
    return cursor


def _timed(http: httpx.Client, late: str, times: int) -> tuple[float, float]:
    """Milliseconds of the first page and of the late one, medians."""
    took: dict[str | None, list[float]] = {None: [], late: []}
    for _ in range(times):
        for where, all_of_it in took.items():
            began = time.perf_counter()
            page = _page(http, where)
            all_of_it.append((time.perf_counter() - began) * 1000)
            if len(page["items"]) != LIMIT:
                raise AssertionError(f"a page of {len(page['items'])}")
    return statistics.median(took[None]), statistics.median(took[late])


def _page(http: httpx.Client, cursor: str | None) -> dict[str, Any]:
    query = {"limit": LIMIT} | ({"cursor": cursor} if cursor else {})
    return http.get("/api/v1/orders", params=query).raise_for_status().json()
