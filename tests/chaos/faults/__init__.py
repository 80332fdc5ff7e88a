"""Every fault of the matrix; importing this package registers them."""

from tests.chaos.faults import killed

__all__ = ["killed"]
