"""What tracing costs where orders come in: off, at 1 % and at 100 % of the traces, three processes asked in turn."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
from opentelemetry.trace import SpanKind
from psycopg.conninfo import conninfo_to_dict

from gofleet.adapters.postgres.migrate import migrate
from gofleet.embedded import Postgres, running
from gofleet.parts import free_port
from gofleet.telemetry.exporting import exporting
from gofleet.telemetry.tracing import span, step
from tests.bench.pages import DB_SETTINGS
from tests.databases import conninfo_of
from tests.journeys.installation import Installation, an_installation
from tests.otlp import Collector, collecting
from tests.waiting import eventually

AT_ONCE = 16
BURST = 200
"""Orders that one process takes before it is the next one's turn."""
SHARES: dict[str, float | None] = {"off": None, "1 %": 0.01, "100 %": 1.0}
LOOPS = 20_000


@dataclass(frozen=True)
class Costs:
    """Orders a second by share of traces, each round's; how many traces arrived of how many orders."""

    rates: dict[str, list[float]]
    traces: dict[str, int]
    orders: int
    off_micros: float

    @property
    def right(self) -> bool:
        """Whether just what should be recorded was received; a share is left a wide margin, for it is by chance."""
        few = self.traces["1 %"]
        return self.traces["off"] == 0 and self.traces["100 %"] == self.orders and few < self.orders * 0.1

    def __str__(self) -> str:
        off = self.rates["off"]
        lines = ["| traces | orders/s, median | of off | traces received |", "| --- | --- | --- | --- |"]
        for name, rates in self.rates.items():
            # Of neighbours in time: what else the machine did meanwhile, it did to all of them.
            ratio = statistics.median(rate / base for rate, base in zip(rates, off, strict=True))
            lines.append(f"| {name} | {statistics.median(rates):.0f} | {ratio:.2f} | {self.traces[name]} |")
        lines.append(
            f"{self.orders:,} orders each, {AT_ONCE} at once, {len(off)} rounds in turn; "
            f"off: {self.off_micros:.1f} µs for a request's span and two steps"
        )
        return "\n".join(lines)


def measured(rounds: int) -> Costs:
    server = Postgres(durable=True)
    with running(server), collecting() as collector, tempfile.TemporaryDirectory(prefix="gofleet-bench-") as place:
        conninfo = conninfo_of(server, "gofleet")
        migrate(conninfo)
        at = conninfo_to_dict(conninfo)
        environment = {f"DB_{name}": str(at[key]) for name, key in DB_SETTINGS.items()}
        with an_installation(environment, Path(place)) as installation:
            started = {name: _started(installation, collector, name, share) for name, share in SHARES.items()}
            return asyncio.run(_measured(started, collector, rounds))


def _started(installation: Installation, collector: Collector, name: str, share: float | None) -> str:
    """The address of an api that records so many of its traces, under a service name that tells which it is."""
    port = str(free_port("127.0.0.1", 18_600))
    traced = {
        "OTEL_SERVICE_NAME": name,
        "OTEL_EXPORTER_OTLP_ENDPOINT": "" if share is None else collector.endpoint,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str(share or 0.0),
    }
    installation.start("api", WEB_SERVER_PORT=port, **traced)
    return f"http://127.0.0.1:{port}"


async def _measured(started: dict[str, str], collector: Collector, rounds: int) -> Costs:
    rates: dict[str, list[float]] = {name: [] for name in started}
    ids = (f"o-{number}" for number in itertools.count())
    for _ in range(rounds):
        for name, base in started.items():
            rates[name].append(await _burst(base, ids))
    orders = rounds * BURST

    def traces() -> dict[str, int]:
        spans = [one for one in collector.spans() if one.name == "POST /api/v1/orders"]
        return {name: len({one.trace_id for one in spans if one.service == name}) for name in started}

    await eventually(lambda: traces()["100 %"] == orders, within=30, every=0.5)
    return Costs(rates, traces(), orders, await _off_micros())


async def _burst(base: str, ids: Iterator[str]) -> float:
    """Orders a second."""
    waiting = itertools.islice(ids, BURST)

    async def customer(http: httpx.AsyncClient) -> None:
        for order_id in waiting:
            answer = await http.post("/api/v1/orders", json={"id": order_id, "price": 100, "tax": 10})
            if answer.status_code != 201:
                raise AssertionError(answer.text)

    async with httpx.AsyncClient(base_url=base, timeout=30, trust_env=False) as http:
        began = time.perf_counter()
        await asyncio.gather(*(customer(http) for _ in range(AT_ONCE)))
        return BURST / (time.perf_counter() - began)


async def _off_micros() -> float:
    """Microseconds for what a request does of it when nobody collects."""
    async with exporting("off", ""):
        began = time.perf_counter()
        for _ in range(LOOPS):
            with span("POST", SpanKind.SERVER):
                with step("orders.get"):
                    pass
                with step("orders.add"):
                    pass
        return (time.perf_counter() - began) / LOOPS * 1e6
