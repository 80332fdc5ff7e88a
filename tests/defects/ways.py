"""Every scenario runs two ways: ours, which must pass, and the one that loses orders, which the same assertions refuse.

The lossy ways are small, faithful copies of how a first service of this kind (in Go) went about it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum

import pytest


class Way(StrEnum):
    OURS = "ours"
    LOSSY = "lossy"

    def fails(self, with_words: str) -> AbstractContextManager[object]:
        """Nothing for ours; the other's block must fail by an assertion that says so."""
        return nullcontext() if self is Way.OURS else pytest.raises(AssertionError, match=with_words)


both_ways = pytest.mark.parametrize("way", list(Way))
