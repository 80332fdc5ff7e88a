"""Counts the frames of an HTTP/2 connection (RFC 9113, section 4) before anything is done for them."""

from __future__ import annotations

import time
from collections.abc import Callable

PREFACE_BYTES = 24
HEAD_BYTES = 9
DATA, HEADERS, RST_STREAM = 0x0, 0x1, 0x3
EARNED = 3
"""Control frames of a call: window updates, and the ping with which some clients measure their bandwidth."""
REFILL_SECONDS = 10.0


class ControlFrames:
    """Token bucket of the control frames that a client sends beyond its calls: resets, pings, settings and the like.

    Each costs work and often a response, and no flow control bounds them: by opening calls and resetting them at once
    a client can start any number (CVE-2023-44487). A call earns `EARNED` frames, which its reset takes back. Of `burst`
    frames a bucket is full again after `REFILL_SECONDS`.
    """

    def __init__(self, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = self._left = float(burst)
        self._clock = clock
        self._filled_at = clock()
        self._head: bytes = b""
        self._skip = PREFACE_BYTES
        self.opened = False
        """Whether the client has sent the preface and a frame."""

    def feed(self, data: bytes) -> bool:
        """Count the frames that begin in `data`, which may be cut anywhere; False once the bucket is empty."""
        now = self._clock()
        left = min(self._burst, self._left + (now - self._filled_at) * self._burst / REFILL_SECONDS)
        self._filled_at = now
        data = self._head + data
        place, end = self._skip, len(data)
        while place + HEAD_BYTES <= end and left >= 0:
            self.opened = True
            length, kind = int.from_bytes(data[place : place + 3], "big"), data[place + 3]
            if kind == HEADERS:
                left = min(self._burst, left + EARNED)
            elif kind != DATA or length == 0:
                left -= EARNED + 1 if kind == RST_STREAM else 1
            place += HEAD_BYTES + length
        self._head, self._skip = data[place:], max(place - end, 0)
        self._left = left
        return left >= 0
