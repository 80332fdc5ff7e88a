"""Whether the next step of a handler goes well: it may pause, stall for longer than its lease, fail, or be killed."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from random import Random

STALL_SECONDS = 0.3
"""Longer than the leases of the storm: who stalls wakes up as a zombie."""


class Killed(BaseException):
    """As SIGKILL ends a process: no `except Exception` hears of it, and what cleans up finds that nothing works."""


class Struck(Exception):
    """A failure that nobody foresaw."""


@dataclass
class Life:
    """Of one handler at work; once dead, each further step is refused."""

    dead: bool = False


@dataclass
class Dice:
    """Probabilities of each step, by the storm's own random numbers; `counts` tells what was thrown."""

    random: Random
    killed: float = 0.03
    stalled: float = 0.02
    struck: float = 0.02
    paused_seconds: float = 0.003
    counts: dict[str, int] = field(default_factory=dict[str, int])
    _life: ContextVar[Life | None] = field(default_factory=lambda: ContextVar("life", default=None))

    @contextmanager
    def life(self) -> Generator[Life]:
        """Steps within the block are at risk; `Killed` ends it."""
        life = Life()
        token = self._life.set(life)
        try:
            yield life
        except Killed:
            life.dead = True
        finally:
            self._life.reset(token)

    async def step(self) -> None:
        """Something is about to happen, or has just happened: `Killed`, `Struck`, or a pause."""
        life = self._life.get()
        if life is None:
            return
        if life.dead:
            raise Killed
        thrown = self.random.random()
        if thrown > self.killed + self.stalled + self.struck:
            await asyncio.sleep(self.random.random() * self.paused_seconds)
        elif thrown < self.killed:
            life.dead = True
            self._count("killed")
            raise Killed
        elif thrown < self.killed + self.stalled:
            self._count("stalled")
            await asyncio.sleep(STALL_SECONDS)
        else:
            self._count("struck")
            raise Struck

    def happens(self, probability: float) -> bool:
        return self.random.random() < probability

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
