"""Output of the demo: a live table on a terminal, lines in a pipe, or JSON lines for programs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table

from gofleet.simulation.client import Counts
from gofleet.simulation.summary import Summary

CURL = """curl -i -X POST {base}/api/v1/orders -H 'Content-Type: application/json' \\
     -d '{{"id":"pedido-teste-01", "price": 100.0, "tax": 10.0}}'"""


class DemoOutput(Protocol):
    """`final` is the summary, once it is known."""

    final: Summary | None

    def started(self, servers: list[str]) -> None: ...
    def step(self, text: str) -> None: ...
    def urls(self, base: str, metrics_port: int, log: Path) -> None: ...
    def progress(self, counts: Counts) -> None: ...
    def summary(self, summary: Summary) -> None: ...
    def stopped(self) -> None: ...


class PlainOutput:
    """One line per step; progress only if it changed."""

    def __init__(self) -> None:
        self.final: Summary | None = None
        self._start = time.monotonic()
        self._last: Counts | None = None

    def print(self, text: str) -> None:
        print(text, flush=True)

    def started(self, servers: list[str]) -> None:
        self.print(f"starting {', '.join(servers)}" if servers else "using your servers")

    def step(self, text: str) -> None:
        self.print(f"{time.monotonic() - self._start:5.1f} s  {text}")

    def urls(self, base: str, metrics_port: int, log: Path) -> None:
        self.print(f"\norders   {base}/api/v1/orders\nhealth   {base}/health/ready")
        self.print(
            f"metrics  http://127.0.0.1:{metrics_port}/metrics\nlog      {log}\n\ntry it:\n  {CURL.format(base=base)}\n"
        )

    def progress(self, counts: Counts) -> None:
        if counts != self._last:
            self._last = counts
            self.step(
                f"created {counts.created}  waiting {counts.waiting}  under way {counts.under_way}  "
                f"delivered {counts.delivered}  manual {counts.by_hand}"
            )

    def summary(self, summary: Summary) -> None:
        self.final = summary
        self.print(
            f"\ncreated {summary.created}  dispatched {summary.dispatched}  manual {summary.by_hand}  "
            f"delivered {summary.delivered}  lost {summary.lost}"
        )
        if summary.p50_ms is not None:
            times = f"p50 {summary.p50_ms:g} ms  p95 {summary.p95_ms:g} ms  in {summary.seconds:g} s"
            self.print(f"create->dispatch {times}")

    def stopped(self) -> None:
        self.print("everything stopped")


class LiveOutput(PlainOutput):
    """Lines during the start, then one table that is updated in place."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console()
        self._live: Live | None = None

    def print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)

    def progress(self, counts: Counts) -> None:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        table = Table("created", "waiting", "under way", "delivered", "manual", caption="Ctrl-C ends it")
        row = (counts.created, counts.waiting, counts.under_way, counts.delivered, counts.by_hand)
        table.add_row(*map(str, row))
        self._live.update(table, refresh=True)

    def summary(self, summary: Summary) -> None:
        self._stop_live()
        super().summary(summary)

    def stopped(self) -> None:
        self._stop_live()
        super().stopped()

    def _stop_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


class JsonOutput:
    """One JSON object per line, distinguished by `event`."""

    def __init__(self) -> None:
        self.final: Summary | None = None
        self._start = time.monotonic()

    def started(self, servers: list[str]) -> None:
        self._print("began", servers=servers)

    def step(self, text: str) -> None:
        self._print("step", what=text)

    def urls(self, base: str, metrics_port: int, log: Path) -> None:
        metrics = f"http://127.0.0.1:{metrics_port}/metrics"
        self._print(
            "urls", orders=f"{base}/api/v1/orders", health=f"{base}/health/ready", metrics=metrics, log=str(log)
        )

    def progress(self, counts: Counts) -> None:
        self._print("progress", **vars(counts), waiting=counts.waiting)

    def summary(self, summary: Summary) -> None:
        self.final = summary

    def stopped(self) -> None:
        """Prints the summary, as the last line, after everything has stopped."""
        if self.final is not None:
            self._print("summary", **self.final.as_dict())

    def _print(self, event: str, **fields: object) -> None:
        line = {"event": event, "seconds": round(time.monotonic() - self._start, 2), **fields}
        print(msgspec.json.encode(line).decode(), flush=True)
