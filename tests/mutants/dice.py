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


@dataclass(frozen=True)
class Weather:
    """Probabilities: the first three of each step of a handler, the others of each message."""

    orders: int = 60
    killed: float = 0.03
    stalled: float = 0.02
    struck: float = 0.02
    repeated: float = 0.3
    lost: float = 0.0
    pause_seconds: float = 0.003

    @property
    def sweeps(self) -> bool:
        """Whether the sweeper is at work, without which a lost message is an order that waits for ever."""
        return self.lost > 0


REPEATING = Weather()
LOSING = Weather(lost=0.2)
FULL_OF_ZOMBIES = Weather(orders=25, stalled=0.05, struck=0.05, repeated=0.8, pause_seconds=0.01)


@dataclass
class Dice:
    """By the storm's own random numbers; `counts` tells what was thrown."""

    random: Random
    weather: Weather
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
        thrown, weather = self.random.random(), self.weather
        if thrown > weather.killed + weather.stalled + weather.struck:
            await asyncio.sleep(self.random.random() * weather.pause_seconds)
        elif thrown < weather.killed:
            life.dead = True
            self._count("killed")
            raise Killed
        elif thrown < weather.killed + weather.stalled:
            self._count("stalled")
            await asyncio.sleep(STALL_SECONDS)
        else:
            self._count("struck")
            raise Struck

    def happens(self, probability: float) -> bool:
        return self.random.random() < probability

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
