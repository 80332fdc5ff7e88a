"""Output of the demo: a live table on a terminal, lines in a pipe, or JSON lines for programs."""

from __future__ import annotations

import time
from shlex import quote
from typing import Protocol

import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table

from gofleet.cli.demo_servers import AccessFiles
from gofleet.simulation.api import Retries
from gofleet.simulation.counts import Counts
from gofleet.simulation.summary import Summary

CURL = """curl -i -X POST {base}/api/v1/orders -H 'Content-Type: application/json' \\
     -d '{{"id":"pedido-teste-01", "price": 100.0, "tax": 10.0}}'"""


class DemoOutput(Protocol):
    """`final` is the summary, once it is known."""

    final: Summary | None

    def started(self, servers: list[str]) -> None: ...
    def step(self, text: str) -> None: ...
    def registering(self, registered: int, total: int, retries: Retries) -> None: ...
    def urls(self, base: str, metrics_port: int, access: AccessFiles) -> None: ...
    def progress(self, counts: Counts, retries: Retries) -> None: ...
    def summary(self, summary: Summary, retries: Retries) -> None: ...
    def stopped(self) -> None: ...


class PlainOutput:
    """One line per step; progress only if it changed."""

    def __init__(self) -> None:
        self.final: Summary | None = None
        self._start = time.monotonic()
        self._last = ""

    def print(self, text: str) -> None:
        print(text, flush=True)

    def started(self, servers: list[str]) -> None:
        self.print(f"starting {', '.join(servers)}" if servers else "using your servers")

    def step(self, text: str) -> None:
        self.print(f"{time.monotonic() - self._start:5.1f} s  {text}")

    def registering(self, registered: int, total: int, retries: Retries) -> None:
        self.step(f"{registered} of {total} drivers registered{_outage(retries)}")

    def urls(self, base: str, metrics_port: int, access: AccessFiles) -> None:
        addresses = {**_addresses(base, metrics_port), "log": str(access.log)}
        self.print("\n" + "\n".join(f"{name:8} {address}" for name, address in addresses.items()))
        self.print("\nlook inside:\n" + "\n".join(f"  {command}" for command in _commands(base, access).values()))
        self.print(f"\ntry it:\n  {CURL.format(base=base)}\n")

    def progress(self, counts: Counts, retries: Retries) -> None:
        line = (
            f"created {counts.created}  waiting {counts.waiting}  under way {counts.under_way}  "
            f"delivered {counts.delivered}  manual {counts.by_hand}"
        )
        line += f"  cancelled {counts.cancelled}" if counts.cancelled else ""
        line += f"  retried {retries}" if retries.counts else ""
        line += _outage(retries)
        if line != self._last:
            self._last = line
            self.step(line)

    def summary(self, summary: Summary, retries: Retries) -> None:
        self.final = summary
        self.print(
            f"\ncreated {summary.created}  dispatched {summary.dispatched}  manual {summary.by_hand}  "
            f"delivered {summary.delivered}  lost {summary.lost}"
            + (f"  unknown {summary.unknown}" if summary.unknown else "")
        )
        if summary.p50_ms is not None:
            times = f"p50 {summary.p50_ms:g} ms  p95 {summary.p95_ms:g} ms  in {summary.seconds:g} s"
            self.print(f"create->dispatch {times}")
        if retries.counts:
            self.print(f"retried {retries}")

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

    def progress(self, counts: Counts, retries: Retries) -> None:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        caption = f"Ctrl-C ends it{_outage(retries)}"
        table = Table("created", "waiting", "under way", "delivered", "manual", "cancelled", "retried", caption=caption)
        numbers = (counts.created, counts.waiting, counts.under_way, counts.delivered, counts.by_hand, counts.cancelled)
        table.add_row(*map(str, (*numbers, retries)))
        self._live.update(table, refresh=True)

    def summary(self, summary: Summary, retries: Retries) -> None:
        self._stop_live()
        super().summary(summary, retries)

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
        self._retried = dict[str, int]()
        self._start = time.monotonic()

    def started(self, servers: list[str]) -> None:
        self._print("began", servers=servers)

    def step(self, text: str) -> None:
        self._print("step", what=text)

    def registering(self, registered: int, total: int, retries: Retries) -> None:
        self._print("registering", registered=registered, drivers=total, retried=dict(retries.counts))

    def urls(self, base: str, metrics_port: int, access: AccessFiles) -> None:
        files = {name: str(path) for name, path in access._asdict().items()}
        self._print("urls", **_addresses(base, metrics_port), **files, commands=_commands(base, access))

    def progress(self, counts: Counts, retries: Retries) -> None:
        away = round(retries.away_seconds, 1)
        self._print(
            "progress", **vars(counts), created=counts.created, retried=dict(retries.counts), api_away_seconds=away
        )

    def summary(self, summary: Summary, retries: Retries) -> None:
        self.final, self._retried = summary, dict(retries.counts)

    def stopped(self) -> None:
        """Prints the summary, as the last line, after everything has stopped."""
        if self.final is not None:
            self._print("summary", **self.final.as_dict(), retried=self._retried)

    def _print(self, event: str, **fields: object) -> None:
        line = {"event": event, "seconds": round(time.monotonic() - self._start, 2), **fields}
        print(msgspec.json.encode(line).decode(), flush=True)


def _addresses(base: str, metrics_port: int) -> dict[str, str]:
    return {
        "docs": f"{base}/api/v1/docs",
        "orders": f"{base}/api/v1/orders",
        "stream": f"{base}/api/v1/orders/stream",
        "health": f"{base}/health/ready",
        "metrics": f"http://127.0.0.1:{metrics_port}/metrics",
    }


def _commands(base: str, access: AccessFiles) -> dict[str, str]:
    """Commands that reach the demo's servers. No password is on a command line."""
    env = quote(str(access.env))
    return {
        "doctor": f"uv run gofleet doctor --url {base} --env-file {env}",
        "verify": f"uv run gofleet verify --live --env-file {env}",
        "psql": f"PGSERVICEFILE={quote(str(access.service))} psql service=gofleet",
    }


def _outage(retries: Retries) -> str:
    return f"  the api does not answer, {retries.away_seconds:.0f} s" if retries.away_since is not None else ""
