"""Log lines of a test."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from loguru import logger


@contextmanager
def logged() -> Generator[list[str]]:
    """The warnings and errors logged during the block."""
    lines: list[str] = []
    logger.configure(patcher=lambda record: None)  # a test that ran `log_to` in this process has left its own
    sink = logger.add(lambda line: lines.append(str(line)), level="WARNING", format="{level} {message} {extra}")
    try:
        yield lines
    finally:
        logger.remove(sink)
