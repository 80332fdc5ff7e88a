"""Log lines of a test."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from loguru import logger


@contextmanager
def logged() -> Generator[list[str]]:
    """The warnings and errors logged during the block."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="WARNING", format="{level} {message} {extra}")
    try:
        yield lines
    finally:
        logger.remove(sink)
