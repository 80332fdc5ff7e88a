"""Fixtures for tests of commands."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.server import serving
from tests.cli.session import CliSession
from tests.cli.stub_server import StubServer, running_stub_server
from tests.roles.conftest import World


@pytest.fixture
async def cli(tmp_path: Path) -> AsyncGenerator[CliSession]:
    world = World()
    async with serving(api_app(world.api()), "127.0.0.1", 0, grace_seconds=2) as listening:
        yield CliSession(world, listening.url, tmp_path)


@pytest.fixture
def stub() -> Generator[StubServer]:
    with running_stub_server() as stub:
        yield stub
