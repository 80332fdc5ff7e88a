"""What an examination found, and what it looks at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from gofleet.settings import Settings

API, RELAY, WORKER, FLEET = "api", "relay", "worker", "fleet"


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Case:
    """Whose settings, for which roles; `url` is an API that is to be asked, `clock` this machine's."""

    settings: Settings
    roles: Sequence[str]
    url: str | None = None
    seconds: float = 10.0
    """Longest examination of one subject."""
    clock: Callable[[], datetime] = _utc_now

    def plays(self, *roles: str) -> bool:
        """Whether any of these is among the chosen ones."""
        return not set(roles).isdisjoint(self.roles)


class CheckState(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


class CheckResult(msgspec.Struct, frozen=True):
    """`seen` is what there is, `fix` what to do about it; empty where nothing need be done."""

    subject: str
    check: str
    state: CheckState
    seen: str
    fix: str = ""


@dataclass
class CheckResults:
    """About one subject, such as PostgreSQL, in the order in which they were made."""

    subject: str
    made: list[CheckResult] = field(default_factory=list[CheckResult])

    def ok(self, check: str, seen: str) -> None:
        self.made.append(CheckResult(self.subject, check, CheckState.OK, seen))

    def warning(self, check: str, seen: str, fix: str) -> None:
        self.made.append(CheckResult(self.subject, check, CheckState.WARNING, seen, fix))

    def failed(self, check: str, seen: str, fix: str) -> None:
        self.made.append(CheckResult(self.subject, check, CheckState.FAILED, seen, fix))


@dataclass(frozen=True)
class Diagnosis:
    findings: list[CheckResult]

    @property
    def healthy(self) -> bool:
        """Warnings allowed."""
        return all(finding.state is not CheckState.FAILED for finding in self.findings)
