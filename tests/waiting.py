"""Waiting for a condition, without a fixed sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar, cast

T = TypeVar("T")


async def eventually(
    condition: Callable[[], Awaitable[T]] | Callable[[], T], *, within: float = 10.0, every: float = 0.02
) -> T:
    """The first true value of `condition`; AssertionError with the last one after `within` seconds."""
    until = time.monotonic() + within
    while True:
        found = condition()
        value = cast("T", await found if isawaitable(found) else found)
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"still {value!r} after {within} s")
        await asyncio.sleep(every)
