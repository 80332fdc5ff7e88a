from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest
from loguru import logger

if TYPE_CHECKING:
    from loguru import Record


@pytest.fixture(autouse=True)
def private_log() -> Generator[None]:
    """Restores the fields that `log_to` adds to every line."""
    yield
    logger.configure(patcher=_as_it_is, extra={})


def _as_it_is(_: Record) -> None:
    pass
