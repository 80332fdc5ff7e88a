"""What a verification found: for each invariant whether it holds, who breaks it, and what could not be asked."""

from __future__ import annotations

from enum import StrEnum

import msgspec

SHOWN = 20
"""Offenders of one invariant that are named; the others are counted."""


class Verdict(StrEnum):
    HOLDS = "holds"
    VIOLATED = "violated"
    UNKNOWN = "unknown"
    NOT_CHECKED = "not checked"


class Offender(msgspec.Struct, frozen=True):
    """Who (an order, an event, a queue ...) and what is wrong with it."""

    subject: str
    why: str


class InvariantResult(msgspec.Struct, kw_only=True):
    """One invariant. `lacking` are sources that were not given or do not fit, `unreadable` those that failed."""

    id: str
    title: str
    checks: int = 0
    """How many parts of it were checked to the end."""
    total: int = 0
    offenders: list[Offender] = []
    lacking: list[str] = []
    unreadable: list[str] = []
    notes: list[str] = []

    def add(self, subject: object, why: str) -> None:
        self.total += 1
        if len(self.offenders) < SHOWN:
            self.offenders.append(Offender(str(subject), why))

    @property
    def verdict(self) -> Verdict:
        if self.total:
            return Verdict.VIOLATED
        if self.unreadable:
            return Verdict.UNKNOWN
        return Verdict.HOLDS if self.checks else Verdict.NOT_CHECKED


class Report(msgspec.Struct, frozen=True):
    findings: list[InvariantResult]

    @property
    def verdict(self) -> Verdict:
        """A violation counts more than what could not be read, for it is certain."""
        verdicts = {finding.verdict for finding in self.findings}
        for worst in (Verdict.VIOLATED, Verdict.UNKNOWN):
            if worst in verdicts:
                return worst
        return Verdict.HOLDS

    @property
    def exit_code(self) -> int:
        return {Verdict.VIOLATED: 1, Verdict.UNKNOWN: 3}.get(self.verdict, 0)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        rows = [{"verdict": finding.verdict, **msgspec.structs.asdict(finding)} for finding in self.findings]
        return {"verdict": self.verdict, "invariants": rows}
