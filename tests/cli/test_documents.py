"""`gofleet openapi` and `gofleet asyncapi` print the documents of the API and of the events."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.auth import Authenticator
from gofleet.adapters.http.server import serving
from gofleet.adapters.rabbit.asyncapi import asyncapi_document
from tests.auth.matrix import authenticate
from tests.cli.program import gofleet
from tests.roles.conftest import World


async def test_openapi_is_the_document_of_a_running_api(tmp_path: Path) -> None:
    document = json.loads(gofleet("openapi", cwd=tmp_path).stdout)

    async with (
        serving(
            api_app(World().api(), authenticator=Authenticator(authenticate)), "127.0.0.1", 0, grace_seconds=2
        ) as listening,
        httpx.AsyncClient(base_url=listening.url, timeout=10) as client,
    ):
        assert document == (await client.get("/api/v1/openapi.json")).json()
    assert "/api/v1/orders" in document["paths"]


def test_asyncapi_depends_on_settings_only_with_here(tmp_path: Path) -> None:
    settings = {"NAME_PREFIX": "staging."}

    assert json.loads(gofleet("asyncapi", environment=settings, cwd=tmp_path).stdout) == asyncapi_document()
    assert "staging.orders" in gofleet("asyncapi", "--here", environment=settings, cwd=tmp_path).stdout
