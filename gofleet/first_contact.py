"""The first contact of a process with each of its servers.

A server that is not there yet is awaited without a time limit, because an orchestrator starts everything at once. One
that refuses what the settings say, as a login, ends the process after about half a minute: waiting would hide a mistake
that only a person can correct. After its first answer a server is awaited without a limit, whatever it answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from loguru import logger

from gofleet.adapters.supervision import jittered
from gofleet.domain.errors import LoginRefused, Misconfigured, Unavailable
from gofleet.process import Work
from gofleet.waiting import sleep_unless

FIRST_DELAY_SECONDS, DELAY_SECONDS_MAX = 1.0, 5.0
"""Mean pauses between two attempts: they double up to the longest."""
REJECTIONS_MAX = 8
"""27 seconds on average, in which another part of the installation may still create the user or the database."""
ADVICE = "`gofleet doctor` examines every server, and `gofleet demo` needs none"


class StartError(Exception):
    """The process cannot start: `what`, `why`, and how to `fix` it."""

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what, why, fix)
        self.what, self.why, self.fix = what, why, fix

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


@dataclass(frozen=True)
class ConfiguredServer:
    """A server as the settings describe it: its address and the settings with it, the settings that the server may
    refuse, and the words for a rejection other than of the login."""

    name: str
    address: str
    address_settings: str
    refused_settings: str
    rejection: str = "cannot be used as configured"


async def until_answered(server: ConfiguredServer, check: Callable[[], Awaitable[object]], stop: asyncio.Event) -> None:
    """Return when `check` has raised neither `Unavailable` nor `Misconfigured`, or at `stop`. `StartError` after
    REJECTIONS_MAX times `Misconfigured`.

    An ERROR line reports the first failure of each kind, and none reports the next ones.
    """
    delay, rejections, reported = FIRST_DELAY_SECONDS, 0, set[str]()
    while True:
        try:
            await check()
        except Misconfigured as error:
            rejection = "refused the login" if isinstance(error, LoginRefused) else server.rejection
            what, fix = f"{server.name} {rejection}", f"check {server.refused_settings}; run `gofleet doctor`"
            rejections += 1
            why = f"{server.address}: {error.why}"
            if rejections == REJECTIONS_MAX:
                raise StartError(what, why, fix) from error
        except Unavailable as error:
            what, why = f"{server.name} is not reachable, waiting for it", f"{server.address}: {error.why}"
            fix = f"start it, or set {server.address_settings} to its address; {ADVICE}"
        else:
            if reported:
                logger.info("{} answers", server.name)
            return
        if what not in reported:
            reported.add(what)
            logger.error("{}; why: {}; fix: {}", what, why, fix)
        if await sleep_unless(stop, jittered(delay)):
            return
        delay = min(2 * delay, DELAY_SECONDS_MAX)


def contacting(server: ConfiguredServer, check: Callable[[], Awaitable[object]]) -> Work:
    """The first contact as work beside the roles, for a server without which they start, too."""

    async def work(stop: asyncio.Event) -> None:
        await until_answered(server, check, stop)
        await stop.wait()

    return work
