"""Options and results of a diagnosis, and the probes that its checks share."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from gofleet.domain.driver import FUTURE_TOLERANCE
from gofleet.settings import Settings

API, RELAY, WORKER, FLEET = "api", "relay", "worker", "fleet"
CONNECT_TIMEOUT_SECONDS = 3.0
CLOCK_SKEW_MAX_SECONDS = 1.0
"""Clock differences up to this value are ok."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class DoctorOptions:
    """What to diagnose: settings and roles; `url` is an API to check as well, `clock` the local clock."""

    settings: Settings
    roles: Sequence[str]
    url: str | None = None
    timeout_seconds: float = 10.0
    """Timeout of the checks of one subject."""
    clock: Callable[[], datetime] = _utc_now

    def has_role(self, *roles: str) -> bool:
        """Whether any of these roles is selected."""
        return not set(roles).isdisjoint(self.roles)


class CheckState(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


class CheckResult(msgspec.Struct, frozen=True):
    """`seen` is what was observed, `fix` what to do about it; empty if nothing needs fixing."""

    subject: str
    check: str
    state: CheckState
    seen: str
    fix: str = ""


@dataclass
class CheckResults:
    """Results about one subject, such as PostgreSQL, in the order of the checks."""

    subject: str
    items: list[CheckResult] = field(default_factory=list[CheckResult])

    def ok(self, check: str, seen: str) -> None:
        self.items.append(CheckResult(self.subject, check, CheckState.OK, seen))

    def warning(self, check: str, seen: str, fix: str) -> None:
        self.items.append(CheckResult(self.subject, check, CheckState.WARNING, seen, fix))

    def failed(self, check: str, seen: str, fix: str) -> None:
        self.items.append(CheckResult(self.subject, check, CheckState.FAILED, seen, fix))


@dataclass(frozen=True)
class Diagnosis:
    results: list[CheckResult]

    @property
    def healthy(self) -> bool:
        """Whether no check failed; warnings are allowed."""
        return all(result.state is not CheckState.FAILED for result in self.results)


async def probe_tcp(host: str, port: int) -> str | None:
    """None if a TCP connection succeeds, otherwise the reason."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return f"no answer within {CONNECT_TIMEOUT_SECONDS:g} s"
    except OSError as error:
        # asyncio's own text repeats the address; the resolver's errors have negative numbers.
        return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
    writer.close()
    return None


def compare_clocks(results: CheckResults, before: datetime, remote: datetime, after: datetime) -> None:
    """Compare a server's clock with the local one, which was read before and after the request."""
    seconds = max((before - remote).total_seconds(), (remote - after).total_seconds(), 0.0)
    direction = "behind" if remote < before else "ahead of"
    if seconds <= CLOCK_SKEW_MAX_SECONDS:
        results.ok("clock", "agrees with this machine's clock")
    elif seconds <= FUTURE_TOLERANCE.total_seconds():
        results.warning("clock", f"is {seconds:.1f} s {direction} this machine's", "synchronise both with NTP")
    else:
        why = f"is {seconds:.1f} s {direction} this machine's: positions count as stale, or are rejected as future ones"
        results.failed("clock", why, "synchronise both with NTP")


def at_least(version: str, minimum: tuple[int, ...]) -> bool:
    """Whether a version such as `3.10.8` is at least `minimum`; a version without numbers is not."""
    numbers = tuple(int(part) for part in version.split("-", maxsplit=1)[0].split(".") if part.isdigit())
    return numbers >= minimum
