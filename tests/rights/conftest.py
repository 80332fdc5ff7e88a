"""Valkey and Redis, each started as in compose.yaml."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from gofleet.embedded import running
from tests.rights.valkeys import PASSWORDS, ContainerValkey, start


@pytest.fixture(scope="module", params=["valkey", "redis-server"])
def container_valkey(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[ContainerValkey]:
    acl = tmp_path_factory.mktemp("run") / "valkey" / "users.acl"
    done = start(acl, PASSWORDS, "env")
    assert (done.returncode, done.stderr) == (0, "")
    assert "_PASSWORD" not in done.stdout
    assert not [secret for secret in PASSWORDS.values() if secret in acl.read_text()]
    name = str(request.param)
    binary = None if name == "valkey" else Path(shutil.which(name) or "")
    with running(server := ContainerValkey(acl, binary)):
        yield server
