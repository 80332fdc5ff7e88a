"""Names of our keys in Redis. A module of its own: the command line prints them, and need not load a client."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gofleet.domain.messages import parking_queue


@dataclass(frozen=True)
class StreamNames:
    """Keys of one installation."""

    prefix: str = ""

    def stream(self, queue: str) -> str:
        return f"{self.prefix}stream:{queue}"

    def later(self, queue: str) -> str:
        """The sorted set of the retries, by the time at which they are due."""
        return f"{self.stream(queue)}.later"

    def parking(self, queue: str) -> str:
        return self.stream(parking_queue(queue))


def ready_key(prefix: str) -> str:
    """The key that `check_redis_writes` writes."""
    return f"{prefix}ready"


def escape_glob(text: str) -> str:
    """`text` as a part of a glob pattern that matches it literally."""
    return re.sub(r"([\[\]*?\\^])", r"\\\1", text)
