"""What tests of commands may ask for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.server import serving
from tests.cli.desk import Desk
from tests.roles.conftest import World


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    world = World()
    async with serving(api_app(world.api()), "127.0.0.1", 0, grace_seconds=2) as listening:
        yield Desk(world, listening.url, tmp_path)
