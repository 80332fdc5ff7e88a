"""What we promise to customers in numbers, and how well it is kept: service level objectives and indicators."""

from __future__ import annotations

from dataclasses import dataclass

INGEST_SECONDS = 0.2
"""An order is to be accepted within this."""
DISPATCH_SECONDS = 5.0
"""An order is to have its driver within this."""
WINDOW_SECONDS = 900.0
"""The present, when it is asked how things are."""


@dataclass(frozen=True)
class Objective:
    """The share of all cases, `target` of 1, that must be good."""

    name: str
    target: float
    about: str


INGEST = Objective("ingest", 0.95, "orders accepted within 0.2 s, of all that were well-formed")
AVAILABILITY = Objective("availability", 0.999, "requests that we did not fail, of all; a dead API counts none")
DISPATCH = Objective(
    "dispatch", 0.99, "orders with a driver within 5 s, of all older ones that were not cancelled first"
)
SUCCESS = Objective("success", 0.995, "orders given a driver, of those and the ones handed to people")
OBJECTIVES = (INGEST, AVAILABILITY, DISPATCH, SUCCESS)


@dataclass(frozen=True)
class Indicator:
    """How many of the `valid` cases were `good`."""

    objective: Objective
    good: int
    valid: int

    @property
    def value(self) -> float | None:
        """The share, or None when nothing happened."""
        return self.good / self.valid if self.valid else None

    @property
    def met(self) -> bool | None:
        return None if self.value is None else self.value >= self.objective.target


@dataclass(frozen=True)
class RequestCounts:
    """Requests of the API in some span of time.

    `answered` are all but those for health, documents and streams, `failed` those of them with a status of 5xx;
    `ingests` are the POSTs of orders without those that were the client's fault (4xx), `fast_ingests` the accepted ones
    that took at most `INGEST_SECONDS`.
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
