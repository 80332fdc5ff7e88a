"""How often somebody may do something."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """How often somebody may ask: `burst` times at once, and `per_second` in the long run."""

    per_second: float
    burst: int


@dataclass(frozen=True)
class TokenGrant:
    """What a bucket gave: `tokens`, with `left` in it; if none, there is one after `wait_seconds`."""

    tokens: int
    left: int
    wait_seconds: float
