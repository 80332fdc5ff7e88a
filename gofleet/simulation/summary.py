"""Summary of a simulation: order counts and dispatch times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Summary:
    """Counts of orders; times in milliseconds from created to dispatched, by the database's clock.

    `unknown` are the orders that the API did not show in time.
    """

    created: int
    waiting: int
    dispatched: int
    by_hand: int
    delivered: int
    lost: int
    unknown: int
    p50_ms: float | None
    p95_ms: float | None
    seconds: float

    @property
    def good(self) -> bool:
        """Whether every order was delivered or escalated to manual dispatch."""
        return self.lost == 0 and self.delivered + self.by_hand == self.created

    def as_dict(self) -> dict[str, Any]:
        """JSON form, including `good`."""
        return {**vars(self), "good": self.good}


@dataclass(frozen=True)
class OrderOutcome:
    """Status of one order, and its time until dispatch in seconds (None if it was not dispatched)."""

    status: str
    waited_seconds: float | None


def summarize_orders(
    accepted: Sequence[str], outcomes: dict[str, OrderOutcome], seconds: float, *, final: bool, unknown: int = 0
) -> Summary:
    """Summarize the accepted orders.

    An order that the API no longer knows is lost; with `final`, an order that is still waiting is lost, too.
    """
    known = [outcomes[order_id] for order_id in accepted if order_id in outcomes]
    waits = sorted(outcome.waited_seconds for outcome in known if outcome.waited_seconds is not None)
    statuses = Counter(outcome.status for outcome in known)
    return Summary(
        created=len(accepted),
        waiting=statuses["PENDING"],
        dispatched=len(waits),
        by_hand=statuses["MANUAL_DISPATCH"],
        delivered=statuses["DELIVERED"],
        lost=len(accepted) - len(known) - unknown + (statuses["PENDING"] if final else 0),
        unknown=unknown,
        p50_ms=_percentile(waits, 0.50),
        p95_ms=_percentile(waits, 0.95),
        seconds=round(seconds, 1),
    )


def _percentile(waits: Sequence[float], share: float) -> float | None:
    """Nearest-rank percentile, in milliseconds."""
    if not waits:
        return None
    return round(waits[min(int(share * len(waits)), len(waits) - 1)] * 1000, 1)
