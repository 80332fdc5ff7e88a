"""`gofleet openapi` prints what a running API serves, and `gofleet asyncapi` what leaves over RabbitMQ."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.auth import Authenticator
from gofleet.adapters.http.server import serving
from gofleet.adapters.rabbit.asyncapi import asyncapi_document
from tests.auth.matrix import authenticate
from tests.cli.typed import gofleet
from tests.roles.conftest import World


async def test_openapi_is_what_a_running_api_serves(tmp_path: Path) -> None:
    said = json.loads(gofleet("openapi", at=tmp_path).stdout)

    async with (
        serving(
            api_app(World().api(), authenticator=Authenticator(authenticate)), "127.0.0.1", 0, grace_seconds=2
        ) as listening,
        httpx.AsyncClient(base_url=listening.url, timeout=10) as client,
    ):
        assert said == (await client.get("/api/v1/openapi.json")).json()
    assert "/api/v1/orders" in said["paths"]


def test_asyncapi_is_the_same_everywhere_but_for_the_names_here(tmp_path: Path) -> None:
    here = {"NAME_PREFIX": "staging."}

    assert json.loads(gofleet("asyncapi", environment=here, at=tmp_path).stdout) == asyncapi_document()
    assert "staging.orders" in gofleet("asyncapi", "--here", environment=here, at=tmp_path).stdout
