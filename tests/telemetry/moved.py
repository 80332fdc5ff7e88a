"""Values of metrics in tests."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from prometheus_client import REGISTRY


def sample(name: str, **labels: str) -> float | None:
    """The current value of a series; None if it does not exist."""
    return REGISTRY.get_sample_value(name, labels)


@contextmanager
def moved(name: str, *, up: float = 1, **labels: str) -> Generator[None]:
    """Assert that the series increases by `up` within the block."""
    before = sample(name, **labels) or 0.0
    yield
    after = sample(name, **labels)
    assert after is not None, f"there is no {name} {labels}"
    assert after - before == up, f"{name} {labels} went up by {after - before}"
