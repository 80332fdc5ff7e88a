"""Checks that make up the invariants, and the results of a verification."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import LiteralString

import msgspec

from gofleet.verification.sources import Source, Sources

OFFENDERS_SHOWN_MAX = 20
"""Offenders listed for one invariant; further ones are only counted."""


class InvariantState(StrEnum):
    HOLDS = "holds"
    VIOLATED = "violated"
    UNKNOWN = "unknown"
    NOT_CHECKED = "not checked"


class Offender(msgspec.Struct, frozen=True):
    """Subject that violates an invariant (an order, an event, a queue ...) and the reason."""

    subject: str
    why: str


class InvariantResult(msgspec.Struct, kw_only=True):
    """Result for one invariant.

    `checks` counts its completed checks. `lacking` names sources that were not given or do not apply, `unreadable` the
    errors of sources that failed.
    """

    id: str
    title: str
    checks: int = 0
    total: int = 0
    offenders: list[Offender] = []
    lacking: list[str] = []
    unreadable: list[str] = []
    notes: list[str] = []

    def add(self, subject: object, why: str) -> None:
        self.total += 1
        if len(self.offenders) < OFFENDERS_SHOWN_MAX:
            self.offenders.append(Offender(str(subject), why))

    @property
    def verdict(self) -> InvariantState:
        if self.total:
            return InvariantState.VIOLATED
        if self.unreadable:
            return InvariantState.UNKNOWN
        return InvariantState.HOLDS if self.checks else InvariantState.NOT_CHECKED


class Report(msgspec.Struct, frozen=True):
    results: list[InvariantResult]

    @property
    def verdict(self) -> InvariantState:
        """A violation takes precedence over an unreadable source, because it is certain."""
        verdicts = {result.verdict for result in self.results}
        for worst in (InvariantState.VIOLATED, InvariantState.UNKNOWN):
            if worst in verdicts:
                return worst
        return InvariantState.HOLDS

    @property
    def exit_code(self) -> int:
        return {InvariantState.VIOLATED: 1, InvariantState.UNKNOWN: 3}.get(self.verdict, 0)

    def as_dict(self) -> dict[str, object]:
        """JSON form of the report."""
        rows = [{"verdict": result.verdict, **msgspec.structs.asdict(result)} for result in self.results]
        return {"verdict": self.verdict, "invariants": rows}


Run = Callable[[Sources, InvariantResult], Awaitable[None]]


@dataclass(frozen=True)
class Check:
    """One check of an invariant; with `at_rest` it applies only when no order or event is in flight."""

    invariant: str
    needs: frozenset[Source]
    run: Run
    at_rest: bool = False


def invariant_check(invariant: str, *needs: Source, at_rest: bool = False) -> Callable[[Run], Check]:
    """Decorator that makes a function a check of an invariant."""

    def decorate(run: Run) -> Check:
        return Check(invariant, frozenset(needs), run, at_rest)

    return decorate


def no_rows(
    invariant: str,
    query: LiteralString,
    values: Callable[[Sources], Mapping[str, object]] = lambda _: {},
    *,
    at_rest: bool = False,
) -> Check:
    """Check that passes if the query returns no rows; each row is (subject, reason)."""

    async def run(sources: Sources, result: InvariantResult) -> None:
        async for subject, why in sources.rows(query, **values(sources)):
            result.add(subject, why)

    return Check(invariant, frozenset({Source.POSTGRES}), run, at_rest)
