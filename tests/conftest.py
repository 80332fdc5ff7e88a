"""Fixtures for every test, and the marker that divides the suite."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.databases import clean_database, migrated_template
from tests.services import (
    postgres_server,
    pytest_collection_finish,
    pytest_configure_node,
    pytest_xdist_node_collection_finished,
    rabbit_server,
    redis_server,
    valkey_server,
)

__all__ = [
    "clean_database",
    "migrated_template",
    "postgres_server",
    "pytest_collection_finish",
    "pytest_configure_node",
    "pytest_xdist_node_collection_finished",
    "rabbit_server",
    "redis_server",
    "valkey_server",
]

TESTS = Path(__file__).parent
ALONE = ("bench", "chaos", "journeys", "load", "docs/test_commands.py")
"""System tests that measure time or end the shared servers; marked `alone` as well, they run one after the other."""
SYSTEM = (
    *ALONE,
    "auth/test_certified.py",
    "chart",
    "embedded",
    "fuzz",
    "model/test_state_machine.py",
    "mutants/test_mutants.py",
    "observability/test_rules.py",
    "observability/test_rules_caught.py",
    "rights/test_journeys.py",
    "rights/test_rabbit_rights.py",
    "rights/test_rabbit_start.py",
    "rights/test_redis_rights.py",
)
"""Folders and modules of tests that start whole installations, disasters or large tools: marked `system`, run by
`just test-system`. Each port's contract on real servers is outside of them."""

# A shell starts a script's background processes with SIGINT ignored. Processes that tests start would inherit that,
# and could not be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import what `-m "not system"` would deselect."""
    return True if config.option.markexpr == "not system" and _lies_in(SYSTEM, collection_path) else None


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than cores: a third of the tests' time is waiting for servers and deadlines."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _lies_in(SYSTEM, item.path):
            item.add_marker("system")
        if _lies_in(ALONE, item.path):
            item.add_marker("alone")


def _lies_in(places: tuple[str, ...], path: Path) -> bool:
    return path.is_relative_to(TESTS) and path.relative_to(TESTS).as_posix().startswith(places)
