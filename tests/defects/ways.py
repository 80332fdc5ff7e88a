"""Every scenario runs in two ways: ours, which must pass, and one that loses orders, at which the assertions must fail.

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
        """No effect for ours; the block of the other way must fail with an assertion of these words."""
        return nullcontext() if self is Way.OURS else pytest.raises(AssertionError, match=with_words)


both_ways = pytest.mark.parametrize("way", list(Way))
