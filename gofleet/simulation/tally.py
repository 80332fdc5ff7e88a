"""What became of the orders, told by the API at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Summary:
    """Counts of orders; times in milliseconds from created to dispatched, by the database's clock."""

    created: int
    waiting: int
    dispatched: int
    by_hand: int
    delivered: int
    lost: int
    p50_ms: float | None
    p95_ms: float | None
    seconds: float

    @property
    def good(self) -> bool:
        """Every order ended where it should: delivered, or with people and a reason."""
        return self.lost == 0 and self.delivered + self.by_hand == self.created

    def as_dict(self) -> dict[str, Any]:
        """For JSON, `good` included."""
        return {**vars(self), "good": self.good}


@dataclass(frozen=True)
class Ending:
    """How one order stands: its status, and how long it waited for its driver in seconds, if it got one."""

    status: str
    waited_seconds: float | None


def summary(accepted: Sequence[str], endings: dict[str, Ending], seconds: float, *, final: bool) -> Summary:
    """Of the orders that the API accepted, one that it no longer knows is lost; at the `final` end of all also one
    that still waits."""
    known = [endings[order_id] for order_id in accepted if order_id in endings]
    waits = sorted(ending.waited_seconds for ending in known if ending.waited_seconds is not None)
    statuses = Counter(ending.status for ending in known)
    return Summary(
        created=len(accepted),
        waiting=statuses["PENDING"],
        dispatched=len(waits),
        by_hand=statuses["MANUAL_DISPATCH"],
        delivered=statuses["DELIVERED"],
        lost=len(accepted) - len(known) + (statuses["PENDING"] if final else 0),
        p50_ms=_percentile(waits, 0.50),
        p95_ms=_percentile(waits, 0.95),
        seconds=round(seconds, 1),
    )


def _percentile(waits: Sequence[float], share: float) -> float | None:
    """Nearest rank, in milliseconds."""
    if not waits:
        return None
    return round(waits[min(int(share * len(waits)), len(waits) - 1)] * 1000, 1)
