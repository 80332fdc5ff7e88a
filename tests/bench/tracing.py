"""What tracing costs where orders come in: off, at 1 % and at 100 % of the traces, three processes asked in turn."""

from __future__ import annotations

import time

from opentelemetry.trace import SpanKind

from gofleet.listening import free_port
from gofleet.telemetry.exporting import exporting
from gofleet.telemetry.tracing import client_span, span
from tests.bench.figures import Figure, ratio
from tests.bench.load import Load, NewOrders, send
from tests.bench.servers import Bench, Measured
from tests.otlp import Collector
from tests.waiting import eventually

CASE = "tracing"
AT_ONCE = 16
BURST = 200
"""Orders that one process takes before it is the next one's turn: no more spans than an exporter keeps."""
BURSTS = 5
"""For each repetition."""
BURST_SECONDS = 30.0
SHARES: dict[str, float | None] = {"off": None, "1 %": 0.01, "100 %": 1.0}
LOOPS = 20_000


async def measure(at: Bench) -> list[Figure]:
    rates: dict[str, list[float]] = {name: [] for name in SHARES}
    with at.servers.installation(CASE) as measured:
        ports = {name: _started(measured, at.servers.collector, name) for name in SHARES}
        for name, port in ports.items():
            await _burst(port, f"warm-{name[:3]}")
        for number in range(len(at.rounds) * (1 if at.smoke else BURSTS)):
            for name, port in ports.items():
                rates[name].append(await _burst(port, f"{number:03}-{name[:3]}"))
        await _check(at.servers.collector, BURST * (len(rates["off"]) + 1))
        measured.installation.stop()
    off, few, all_ = (Figure(CASE, f"traces {name}", "orders/s", tuple(each)) for name, each in rates.items())
    micros = [await _off_micros() for _ in at.rounds]
    return [
        *(off, few, all_),
        ratio(few, off, "1 %, of off"),
        ratio(all_, off, "100 %, of off"),
        Figure(CASE, "a request's span and two steps, when off", "µs", tuple(micros), better="lower"),
    ]


def _started(measured: Measured, collector: Collector, name: str) -> int:
    """The port of an api that records its share of traces, under a service name that tells which it is."""
    port, share = free_port("127.0.0.1", 18_600), SHARES[name]
    traced = {
        "OTEL_SERVICE_NAME": f"{CASE} {name}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "" if share is None else collector.endpoint,
        "OTEL_TRACES_SAMPLER_ARG": str(share or 0.0),
    }
    measured.installation.start("api", WEB_SERVER_PORT=str(port), **traced)
    return port


async def _burst(port: int, prefix: str) -> float:
    """Orders a second."""
    request = NewOrders(prefix.replace(" ", "_").replace("%", "p"))
    outcome = await send(Load(request, (port,), AT_ONCE, BURST_SECONDS, most=BURST))
    if outcome.accepted != BURST:
        raise AssertionError(f"{outcome.counts}")
    return outcome.rate


async def _check(collector: Collector, orders: int) -> None:
    """AssertionError unless just what should be recorded is received; a share is by chance, and has a wide margin."""

    def traces(name: str) -> int:
        spans = [one for one in collector.spans() if one.name == "POST /api/v1/orders"]
        return len({one.trace_id for one in spans if one.service == f"{CASE} {name}"})

    await eventually(lambda: traces("100 %") == orders, within=30, every=0.5)
    if traces("off") or traces("1 %") >= orders * 0.1:
        raise AssertionError(f"{traces('off')} traces of off, {traces('1 %')} of 1 %, of {orders} orders")


async def _off_micros() -> float:
    """Microseconds of tracing for a request without a collector."""
    async with exporting("off", ""):
        began = time.perf_counter()
        for _ in range(LOOPS):
            with span("POST", SpanKind.SERVER):
                with client_span("orders.get"):
                    pass
                with client_span("orders.add"):
                    pass
        return (time.perf_counter() - began) / LOOPS * 1e6
