"""What tests of commands may ask for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.server import serving
from tests.cli.desk import Desk
from tests.cli.told import Told, a_told_server
from tests.roles.conftest import World


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    world = World()
    async with serving(api_app(world.api()), "127.0.0.1", 0, grace_seconds=2) as listening:
        yield Desk(world, listening.url, tmp_path)


@pytest.fixture
def told() -> Generator[Told]:
    with a_told_server() as told:
        yield told
