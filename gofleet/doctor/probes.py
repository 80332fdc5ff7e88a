"""What examinations of servers have in common."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime

from gofleet.doctor.findings import CheckResults
from gofleet.domain.driver import FUTURE_TOLERANCE

KNOCK_SECONDS = 3.0
SKEW_SECONDS = 1.0
"""Clocks that differ by less are nothing to speak of."""


async def knock(host: str, port: int) -> str | None:
    """None if somebody listens there, else why not."""
    try:
        async with asyncio.timeout(KNOCK_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return f"no answer within {KNOCK_SECONDS:g} s"
    except OSError as error:
        # asyncio's own text repeats the address; the resolver's errors have negative numbers.
        return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
    writer.close()
    return None


def compare_clocks(found: CheckResults, before: datetime, theirs: datetime, after: datetime) -> None:
    """Their clock against ours, which was read before and after asking: the truth lies between."""
    seconds = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    behind = "behind" if theirs < before else "ahead of"
    if seconds <= SKEW_SECONDS:
        found.ok("clock", "agrees with this machine's")
    elif seconds <= FUTURE_TOLERANCE.total_seconds():
        found.warning("clock", f"is {seconds:.1f} s {behind} this machine's", "synchronise both with NTP")
    else:
        why = f"is {seconds:.1f} s {behind} this machine's: positions are taken for old, or refused as future ones"
        found.failed("clock", why, "synchronise both with NTP")


def at_least(version: str, wanted: tuple[int, ...]) -> bool:
    """Whether a version such as `3.10.8` is not older; one that says nothing counts as older."""
    numbers = tuple(int(part) for part in version.split("-", maxsplit=1)[0].split(".") if part.isdigit())
    return numbers >= wanted
