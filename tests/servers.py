"""The servers that `tests.services` hands to tests. A module of its own: tests without servers must not import it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gofleet.embedded import Postgres, RabbitAddress, RabbitMQ, Valkey, ValkeyAddress, running
from gofleet.embedded.postgres import bin_dir_from_wheel
from gofleet.embedded.server import Server


class ValkeyElsewhere(Valkey):
    """A server of another process: only `address` may be used."""

    def __init__(self, address: ValkeyAddress) -> None:
        super().__init__()
        self._elsewhere = address

    @property
    def address(self) -> ValkeyAddress:
        return self._elsewhere


class RabbitElsewhere(RabbitMQ):
    """A server of another process: only `address` may be used."""

    def __init__(self, address: RabbitAddress) -> None:
        super().__init__()
        self._elsewhere = address

    @property
    def address(self) -> RabbitAddress:
        return self._elsewhere


def postgres_programs() -> Path:
    """The wheel's bin directory, or TEST_POSTGRES_BIN, such as /usr/lib/postgresql/15/bin."""
    chosen = os.environ.get("TEST_POSTGRES_BIN")
    return Path(chosen) if chosen else bin_dir_from_wheel()


def new_postgres() -> Postgres:
    return Postgres(durable=False, max_connections=300, bin_dir=postgres_programs())


def new_valkey() -> Valkey:
    return Valkey(durable=False)


def new_redis() -> Valkey:
    """Debian's Redis."""
    binary = shutil.which("redis-server")
    assert binary, "redis-server is missing: run `bash tests/install_servers.sh`, or `just servers`"
    return Valkey(durable=False, binary=Path(binary))


def new_rabbit() -> RabbitMQ:
    return RabbitMQ(management=True)


@contextmanager
def shared_servers(file: Path) -> Generator[None]:
    """Run Valkey, Redis and RabbitMQ during the block, with their addresses in `file`."""
    servers: dict[str, Server[Any]] = {
        "valkey": new_valkey(),
        "redis": new_redis(),
        "rabbit": new_rabbit(),
    }
    with running(*servers.values()):
        file.write_text(json.dumps({name: asdict(server.address) for name, server in servers.items()}))
        yield


def address_in(file: Path, name: str) -> dict[str, Any]:
    """The fields of the address that `shared_servers` wrote."""
    addresses: dict[str, dict[str, Any]] = json.loads(file.read_text())
    return addresses[name]
