"""How the demo tells what happens: live on a terminal, plain lines in a pipe, JSON for programs."""

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


class Story(Protocol):
    """`told` is the summary once it was given."""

    told: Summary | None

    def began(self, servers: list[str]) -> None: ...
    def step(self, what: str) -> None: ...
    def urls(self, base: str, metrics_port: int, log: Path) -> None: ...
    def progress(self, counts: Counts) -> None: ...
    def summary(self, summary: Summary) -> None: ...
    def ended(self) -> None: ...


class PlainStory:
    """A line for each thing that happens; progress only when it changed."""

    def __init__(self) -> None:
        self.told: Summary | None = None
        self._since = time.monotonic()
        self._last: Counts | None = None

    def say(self, text: str) -> None:
        print(text, flush=True)

    def began(self, servers: list[str]) -> None:
        self.say(f"starting {', '.join(servers)}" if servers else "using your servers")

    def step(self, what: str) -> None:
        self.say(f"{time.monotonic() - self._since:5.1f} s  {what}")

    def urls(self, base: str, metrics_port: int, log: Path) -> None:
        self.say(f"\norders   {base}/api/v1/orders\nhealth   {base}/health/ready")
        self.say(
            f"metrics  http://127.0.0.1:{metrics_port}/metrics\nlog      {log}\n\ntry it:\n  {CURL.format(base=base)}\n"
        )

    def progress(self, counts: Counts) -> None:
        if counts != self._last:
            self._last = counts
            self.step(
                f"created {counts.created}  waiting {counts.waiting}  under way {counts.under_way}  "
                f"delivered {counts.delivered}  by hand {counts.by_hand}"
            )

    def summary(self, summary: Summary) -> None:
        self.told = summary
        self.say(
            f"\ncreated {summary.created}  dispatched {summary.dispatched}  by hand {summary.by_hand}  "
            f"delivered {summary.delivered}  lost {summary.lost}"
        )
        if summary.p50_ms is not None:
            self.say(f"create->dispatch p50 {summary.p50_ms:g} ms  p95 {summary.p95_ms:g} ms  in {summary.seconds:g} s")

    def ended(self) -> None:
        self.say("everything stopped")


class LiveStory(PlainStory):
    """Lines first, then one table that is kept up to date."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console()
        self._live: Live | None = None

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)

    def progress(self, counts: Counts) -> None:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        table = Table("created", "waiting", "under way", "delivered", "by hand", caption="Ctrl-C ends it")
        shown = (counts.created, counts.waiting, counts.under_way, counts.delivered, counts.by_hand)
        table.add_row(*map(str, shown))
        self._live.update(table, refresh=True)

    def summary(self, summary: Summary) -> None:
        self._stop_live()
        super().summary(summary)

    def ended(self) -> None:
        self._stop_live()
        super().ended()

    def _stop_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


class JsonStory:
    """One object a line, told apart by `event`."""

    def __init__(self) -> None:
        self.told: Summary | None = None
        self._since = time.monotonic()

    def began(self, servers: list[str]) -> None:
        self._say("began", servers=servers)

    def step(self, what: str) -> None:
        self._say("step", what=what)

    def urls(self, base: str, metrics_port: int, log: Path) -> None:
        metrics = f"http://127.0.0.1:{metrics_port}/metrics"
        self._say("urls", orders=f"{base}/api/v1/orders", health=f"{base}/health/ready", metrics=metrics, log=str(log))

    def progress(self, counts: Counts) -> None:
        self._say("progress", **vars(counts), waiting=counts.waiting)

    def summary(self, summary: Summary) -> None:
        self.told = summary

    def ended(self) -> None:
        """The summary comes last, when everything has stopped."""
        if self.told is not None:
            self._say("summary", **self.told.as_dict())

    def _say(self, event: str, **facts: object) -> None:
        said = {"event": event, "seconds": round(time.monotonic() - self._since, 2), **facts}
        print(msgspec.json.encode(said).decode(), flush=True)
