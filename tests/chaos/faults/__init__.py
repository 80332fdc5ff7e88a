"""Every fault of the matrix; importing this package registers them."""

from tests.chaos.faults import (
    fleet,
    killed,
    lost_workers,
    machine,
    messages,
    network,
    postgres,
    rabbit,
    redis,
    rolling,
    storms,
)

__all__ = [
    "fleet",
    "killed",
    "lost_workers",
    "machine",
    "messages",
    "network",
    "postgres",
    "rabbit",
    "redis",
    "rolling",
    "storms",
]
