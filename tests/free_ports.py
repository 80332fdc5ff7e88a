"""Ports for the processes that tests start."""

from __future__ import annotations

import os

from gofleet.listening import free_port

HOST = "127.0.0.1"
PORTS_OF_A_WORKER = 5_000


def port_from(first: int) -> int:
    """A free port at or a little above `first`; workers of pytest-xdist look for theirs in different ranges.

    Two processes that look in one range at once may choose the same port.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return free_port(HOST, first + PORTS_OF_A_WORKER * worker)
