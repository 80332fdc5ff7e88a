"""The access tokens of well-known providers, with the settings that the integrators' page gives for each."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import httpx
import pytest

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.auth import Authenticator
from gofleet.adapters.http.server import serving
from gofleet.adapters.oidc.keys import JwksCache, Key
from gofleet.adapters.oidc.tokens import TokenVerifier
from gofleet.domain.driver import Driver
from gofleet.roles.api_auth import token_rules
from gofleet.settings import load, unsafe
from gofleet.settings.checks import wrong_together
from tests.auth.mint import FIRST
from tests.auth.providers import PAGE, SHAPES, Shape, settings_of
from tests.roles.conftest import World

PROVIDERS = pytest.mark.parametrize("shape", SHAPES, ids=[f"{shape.provider} {shape.header}" for shape in SHAPES])


@asynccontextmanager
async def accepting(shape: Shape) -> AsyncGenerator[httpx.AsyncClient]:
    """An API with the provider's settings in production; it knows the driver."""
    settings = load(
        {"GOFLEET_ENV": "production", "AUTH_ISSUER": shape.issuer, "DB_PASSWORD": "zB4-quite-long"}
        | {"REDIS_PASSWORD": "wM2-quite-long"}
        | settings_of(shape.provider),
        dotenv=None,
    )
    assert [*wrong_together(settings), *unsafe(settings, ["api"])] == []

    async def keys() -> Mapping[str, Key]:
        return {"first": FIRST}

    world = World()
    await world.drivers.put(Driver(shape.ids["driver"], "Maria", True))
    verifier = TokenVerifier(JwksCache(keys), token_rules(settings.auth))
    app = api_app(world.api(), authenticator=Authenticator(verifier.principal, issuer=shape.issuer))
    async with (
        serving(app, "127.0.0.1", 0, grace_seconds=2) as listening,
        httpx.AsyncClient(base_url=f"{listening.url}/api/v1", timeout=10) as client,
    ):
        yield client


def by(shape: Shape, role: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {shape.token(role, int(time.time()))}"}


@PROVIDERS
async def test_customer_driver_dispatcher_and_service_log_in(shape: Shape) -> None:
    order = {"id": "o-1", "price": 10.0, "tax": 1.0}
    async with accepting(shape) as client:
        created = await client.post("/orders", json=order, headers=by(shape, "customer"))
        assert (created.status_code, created.json().get("customer_id")) == (201, shape.ids["customer"]), created.text
        order_id = created.json()["id"]
        own = await client.get(f"/drivers/{shape.ids['driver']}", headers=by(shape, "driver"))
        assert (own.status_code, own.json().get("name")) == (200, "Maria"), own.text
        assert (await client.get("/drivers", headers=by(shape, "driver"))).status_code == 403
        cancelled = await client.post(f"/orders/{order_id}/cancel", headers=by(shape, "dispatcher"))
        assert cancelled.status_code == 200, cancelled.text
        for_ana = order | {"id": "o-2", "customer_id": "ana"}
        created = await client.post("/orders", json=for_ana, headers=by(shape, "service"))
        assert (created.status_code, created.json().get("customer_id")) == (201, "ana"), created.text
        timeline = await client.get(f"/orders/{order_id}/events", headers=by(shape, "dispatcher"))
        actors = [entry["actor"] for entry in timeline.json()["items"]]
        assert actors == [f"customer:{shape.ids['customer']}", f"dispatcher:{shape.ids['dispatcher']}"]


@PROVIDERS
async def test_an_id_token_is_refused(shape: Shape) -> None:
    async with accepting(shape) as client:
        refused = await client.get("/orders", headers={"Authorization": f"Bearer {shape.id_token(int(time.time()))}"})
    assert (refused.status_code, "not an access token" in refused.json()["detail"]) == (401, True), refused.text


def test_the_page_describes_these_providers() -> None:
    table = PAGE.read_text().partition("| provider | settings")[2].partition("\n\n")[0]
    assert [line.split(" | ")[0][2:] for line in table.splitlines()[2:]] == list(
        dict.fromkeys(shape.provider for shape in SHAPES)
    )
