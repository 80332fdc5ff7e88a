"""`gofleet openapi` prints what a running API serves."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.server import serving
from tests.cli.typed import gofleet
from tests.roles.conftest import World


async def test_openapi_is_what_a_running_api_serves(tmp_path: Path) -> None:
    said = json.loads(gofleet("openapi", at=tmp_path).stdout)

    async with (
        serving(api_app(World().api()), "127.0.0.1", 0, grace_seconds=2) as listening,
        httpx.AsyncClient(base_url=listening.url, timeout=10) as client,
    ):
        assert said == (await client.get("/api/v1/openapi.json")).json()


@pytest.mark.parametrize(
    "path", ["/api/v1/orders", "/api/v1/orders/{order_id}/dispatch", "/api/v1/drivers/{driver_id}"]
)
def test_it_knows_the_routes(tmp_path: Path, path: str) -> None:
    assert path in json.loads(gofleet("openapi", at=tmp_path).stdout)["paths"]
