"""Random faults at the steps of a handler: a pause, a stall longer than its lease, an exception, or a kill."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from random import Random

STALL_SECONDS = 0.3
"""Longer than the leases of the storm: a stalled handler continues without its lease, as a zombie."""


class Killed(BaseException):
    """Stands for SIGKILL: no `except Exception` catches it, and every later step of the handler fails."""


class UnexpectedError(Exception):
    """A failure that the code does not handle specifically."""


@dataclass
class Life:
    """The life of one handler call; once dead, every further step raises Killed."""

    dead: bool = False


@dataclass(frozen=True)
class Weather:
    """Probabilities: `killed`, `stalled` and `failed` per step of a handler, `repeated` and `lost` per message."""

    orders: int = 60
    killed: float = 0.03
    stalled: float = 0.02
    failed: float = 0.02
    repeated: float = 0.3
    lost: float = 0.0
    pause_seconds: float = 0.003

    @property
    def sweeps(self) -> bool:
        """Whether the sweeper runs; without it the order of a lost message stays PENDING forever."""
        return self.lost > 0


REPEATING = Weather()
LOSING = Weather(lost=0.2)
FULL_OF_ZOMBIES = Weather(orders=25, stalled=0.05, failed=0.05, repeated=0.8, pause_seconds=0.01)


@dataclass
class Dice:
    """Draws faults from the storm's random numbers; `counts` has the number of each kind."""

    random: Random
    weather: Weather
    counts: dict[str, int] = field(default_factory=dict[str, int])
    _life: ContextVar[Life | None] = field(default_factory=lambda: ContextVar("life", default=None))

    @contextmanager
    def life(self) -> Generator[Life]:
        """Expose the steps in the block to faults; `Killed` ends the block."""
        life = Life()
        token = self._life.set(life)
        try:
            yield life
        except Killed:
            life.dead = True
        finally:
            self._life.reset(token)

    async def step(self) -> None:
        """A point before or after an effect: raises `Killed` or `UnexpectedError`, stalls or pauses."""
        life = self._life.get()
        if life is None:
            return
        if life.dead:
            raise Killed
        draw, weather = self.random.random(), self.weather
        if draw > weather.killed + weather.stalled + weather.failed:
            await asyncio.sleep(self.random.random() * weather.pause_seconds)
        elif draw < weather.killed:
            life.dead = True
            self._count("killed")
            raise Killed
        elif draw < weather.killed + weather.stalled:
            self._count("stalled")
            await asyncio.sleep(STALL_SECONDS)
        else:
            self._count("failed")
            raise UnexpectedError

    def happens(self, probability: float) -> bool:
        return self.random.random() < probability

    def _count(self, fault: str) -> None:
        self.counts[fault] = self.counts.get(fault, 0) + 1
