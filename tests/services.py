"""Real servers for the whole session, each started when a test first asks for it.

The fixtures are plain (no event loop), because every asynchronous test has a loop of its own.
conftest.py imports the names below; RabbitMQ, slow to start, begins as soon as a collected test needs it.
"""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from gofleet.embedded import Postgres, RabbitAddress, RabbitMQ, Valkey, running
from gofleet.embedded.postgres import bin_dir_from_wheel

RABBIT = pytest.StashKey[RabbitMQ]()
HTTP_SECONDS = 20.0


@pytest.hookimpl
def pytest_collection_finish(session: pytest.Session) -> None:
    """Let RabbitMQ start beside the first tests."""
    if session.config.option.collectonly:
        return
    if any("rabbit_server" in getattr(item, "fixturenames", ()) for item in session.items):
        rabbit = session.config.stash[RABBIT] = RabbitMQ(management=True)
        rabbit.begin()


def postgres_programs() -> Path:
    """The wheel's, or those in TEST_POSTGRES_BIN, such as /usr/lib/postgresql/15/bin."""
    given = os.environ.get("TEST_POSTGRES_BIN")
    return Path(given) if given else bin_dir_from_wheel()


@pytest.fixture(scope="session")
def postgres_server() -> Generator[Postgres]:
    """A PostgreSQL that forgets; its database `gofleet` is empty."""
    server = Postgres(durable=False, max_connections=200, bin_dir=postgres_programs())
    with running(server):
        yield server


@pytest.fixture(scope="session")
def valkey_server() -> Generator[Valkey]:
    """A Valkey that forgets."""
    server = Valkey(durable=False)
    with running(server):
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Generator[Valkey]:
    """Debian's Redis, to prove that nothing needs what only Valkey has."""
    binary = shutil.which("redis-server")
    assert binary, "redis-server is missing: run `bash tests/install_servers.sh`, or `just servers`"
    server = Valkey(durable=False, binary=Path(binary))
    with running(server):
        yield server


@pytest.fixture(scope="session")
def rabbit_server(pytestconfig: pytest.Config) -> Generator[RabbitMQ]:
    """A RabbitMQ with its HTTP API; take `a_vhost` of it."""
    server = pytestconfig.stash.get(RABBIT, None) or RabbitMQ(management=True)
    with running(server):
        yield server


@contextmanager
def a_vhost(rabbit: RabbitMQ) -> Generator[RabbitAddress]:
    """A fresh virtual host, deleted after the block with all its queues and connections."""
    address = replace(rabbit.address, vhost=f"test-{uuid4().hex[:12]}")
    path = f"{address.management_url}/api/vhosts/{quote(address.vhost, safe='')}"
    with httpx.Client(auth=(address.user, address.password), timeout=HTTP_SECONDS, trust_env=False) as http:
        http.put(path).raise_for_status()  # also gives its maker every right in it
        try:
            yield address
        finally:
            http.delete(path).raise_for_status()
