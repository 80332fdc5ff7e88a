"""Fixtures for real servers, one of each for the whole run.

Without pytest-xdist a server starts when a test first needs it. Under pytest-xdist the controller starts Valkey, Redis
and RabbitMQ once, and the workers read their addresses from a file. PostgreSQL is one per worker: it starts fast, and
an open transaction of one database delays the history feed of every other database of its cluster.

The fixtures are synchronous because every asynchronous test has its own event loop; imports are inside them because
tests without servers should start fast.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from gofleet.embedded import Postgres, RabbitAddress, RabbitMQ, Valkey

# ruff: noqa: PLC0415
HTTP_SECONDS = 20.0
WITHOUT_SERVERS = ("tests/domain/", "tests/usecases/", "tests/guards/")
ADDRESSES = pytest.StashKey[Path]()
"""At the controller: the file with the addresses, which exists once the servers answer."""
RABBIT = pytest.StashKey["RabbitMQ"]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Without pytest-xdist: let RabbitMQ, which starts slowly, start during the first tests."""
    if session.config.option.collectonly or _addresses(session.config):
        return
    if any("rabbit_server" in getattr(item, "fixturenames", ()) for item in session.items):
        from tests.servers import new_rabbit

        rabbit = session.config.stash[RABBIT] = new_rabbit()
        rabbit.begin()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """At the controller: give a new worker the path of the file with the addresses."""
    config: pytest.Config = node.config
    if ADDRESSES not in config.stash:
        directory = tempfile.mkdtemp(prefix="gofleet-tests-")
        config.add_cleanup(partial(shutil.rmtree, directory))
        config.stash[ADDRESSES] = Path(directory) / "addresses.json"
    node.workerinput["addresses"] = str(config.stash[ADDRESSES])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """At the controller: start the servers, before any worker runs its first test."""
    config: pytest.Config = node.config
    file = config.stash[ADDRESSES]
    if file.exists() or all(test.startswith(WITHOUT_SERVERS) for test in ids):
        return
    from tests.servers import shared_servers

    servers = ExitStack()
    servers.enter_context(shared_servers(file))
    config.add_cleanup(servers.close)


@pytest.fixture(scope="session")
def postgres_server() -> Generator[Postgres]:
    """A PostgreSQL without durability; its database `gofleet` is empty."""
    from gofleet.embedded import running
    from tests.servers import new_postgres

    with running(server := new_postgres()):
        yield server


@pytest.fixture(scope="session")
def valkey_server(pytestconfig: pytest.Config) -> Generator[Valkey]:
    """A Valkey without persistence."""
    from gofleet.embedded import ValkeyAddress, running
    from tests.servers import ValkeyElsewhere, address_in, new_valkey

    if file := _addresses(pytestconfig):
        yield ValkeyElsewhere(ValkeyAddress(**address_in(file, "valkey")))
        return
    with running(server := new_valkey()):
        yield server


@pytest.fixture(scope="session")
def redis_server(pytestconfig: pytest.Config) -> Generator[Valkey]:
    """Debian's Redis: shows that the product needs nothing that only Valkey has."""
    from gofleet.embedded import ValkeyAddress, running
    from tests.servers import ValkeyElsewhere, address_in, new_redis

    if file := _addresses(pytestconfig):
        yield ValkeyElsewhere(ValkeyAddress(**address_in(file, "redis")))
        return
    with running(server := new_redis()):
        yield server


@pytest.fixture(scope="session")
def rabbit_server(pytestconfig: pytest.Config) -> Generator[RabbitMQ]:
    """A RabbitMQ with its HTTP API; a test uses a virtual host of it (`a_vhost`)."""
    from gofleet.embedded import RabbitAddress, running
    from tests.servers import RabbitElsewhere, address_in, new_rabbit

    if file := _addresses(pytestconfig):
        yield RabbitElsewhere(RabbitAddress(**address_in(file, "rabbit")))
        return
    with running(server := pytestconfig.stash.get(RABBIT, None) or new_rabbit()):
        yield server


@contextmanager
def a_vhost(rabbit: RabbitMQ) -> Generator[RabbitAddress]:
    """A fresh virtual host, deleted after the block with all its queues and connections."""
    import httpx

    address = replace(rabbit.address, vhost=f"test-{uuid4().hex[:12]}")
    path = f"{address.management_url}/api/vhosts/{quote(address.vhost, safe='')}"
    with httpx.Client(auth=(address.user, address.password), timeout=HTTP_SECONDS, trust_env=False) as http:
        http.put(path).raise_for_status()  # also grants its creator every permission in it
        try:
            yield address
        finally:
            http.delete(path).raise_for_status()


def _addresses(config: pytest.Config) -> Path | None:
    """The file that the controller of pytest-xdist wrote; None in a process that starts its own servers."""
    workerinput: dict[str, Any] = getattr(config, "workerinput", {})
    return Path(workerinput["addresses"]) if workerinput else None
