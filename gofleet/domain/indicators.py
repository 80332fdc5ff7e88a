"""Service level objectives and indicators."""

from __future__ import annotations

from dataclasses import dataclass

INGEST_SECONDS = 0.2
"""Objective for accepting an order."""
DISPATCH_SECONDS = 5.0
"""Objective for assigning a driver to an order."""
WINDOW_SECONDS = 900.0
"""Default window of the indicators."""


@dataclass(frozen=True)
class Objective:
    """Service level objective: the share of good events must be at least `target` (0 to 1)."""

    name: str
    target: float
    about: str


INGEST = Objective("ingest", 0.95, "orders accepted within 0.2 s, of all well-formed orders")
AVAILABILITY = Objective(
    "availability", 0.999, "requests answered without a server error, of all; an API that is down counts none"
)
DISPATCH = Objective(
    "dispatch", 0.99, "orders with a driver within 5 s, of all older orders that were not cancelled first"
)
SUCCESS = Objective("success", 0.995, "orders assigned to a driver, of all assigned or escalated to manual dispatch")
OBJECTIVES = (INGEST, AVAILABILITY, DISPATCH, SUCCESS)


@dataclass(frozen=True)
class Indicator:
    """Service level indicator: `good` events of `valid` events."""

    objective: Objective
    good: int
    valid: int

    @property
    def value(self) -> float | None:
        """Share of good events, or None without events."""
        return self.good / self.valid if self.valid else None

    @property
    def met(self) -> bool | None:
        return None if self.value is None else self.value >= self.objective.target


@dataclass(frozen=True)
class RequestCounts:
    """Counts of API requests in a period.

    `answered`: all but health, documents and streams. `failed`: those with a 5xx status. `ingests`: POSTs of orders
    except client errors (4xx). `fast_ingests`: accepted orders answered within `INGEST_SECONDS`.
    """

    answered: int = 0
    failed: int = 0
    ingests: int = 0
    fast_ingests: int = 0

    def __add__(self, other: RequestCounts) -> RequestCounts:
        return RequestCounts(
            self.answered + other.answered,
            self.failed + other.failed,
            self.ingests + other.ingests,
            self.fast_ingests + other.fast_ingests,
        )


def request_indicators(counts: RequestCounts) -> tuple[Indicator, Indicator]:
    return (
        Indicator(INGEST, counts.fast_ingests, counts.ingests),
        Indicator(AVAILABILITY, counts.answered - counts.failed, counts.answered),
    )
