"""`gofleet login` sends credentials only to the issuer, or to hosts that the user names."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from gofleet.cli.errors import CliError
from gofleet.cli.login import RESOURCE_METADATA, login_command
from tests.auth.provider import Page, Provider, a_provider

ENDPOINTS = ("token_endpoint", "device_authorization_endpoint")
SECRET = "secret"  # noqa: S105  of no account


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
async def provider() -> AsyncGenerator[Provider]:
    """An issuer that is also the API's address."""
    async with a_provider() as provider:
        provider.publish({}, **{name: f"{provider.url}/{name}" for name in ENDPOINTS})
        provider.pages[RESOURCE_METADATA] = Page(200, json.dumps({"authorization_servers": [provider.url]}).encode())
        provider.pages["/token_endpoint"] = Page(200, b'{"access_token": "a.b.c", "expires_in": 60}')
        yield provider


async def log_in(url: str, **options: Any) -> None:
    await asyncio.to_thread(login_command, url=url, **options)


async def test_a_secret_is_sent_to_the_issuer(provider: Provider, home: Path) -> None:
    await log_in(provider.url, client_secret=SECRET)
    assert provider.requests[-1] == "/token_endpoint"
    assert provider.url in json.loads((home / "gofleet" / "tokens.json").read_text())


@pytest.mark.parametrize(("endpoint", "secret"), [(ENDPOINTS[0], SECRET), (ENDPOINTS[1], None)])
@pytest.mark.parametrize("hosts", ["", "127.0.0.1", "evil.example"])
async def test_credentials_are_not_sent_elsewhere(
    provider: Provider, endpoint: str, secret: str | None, hosts: str
) -> None:
    async with a_provider() as other:
        others = {name: f"{(other if name == endpoint else provider).url}/{name}" for name in ENDPOINTS}
        provider.publish({}, **others)
        with pytest.raises(CliError, match="lead elsewhere") as refused:
            await log_in(provider.url, client_secret=secret, issuer_host=hosts)
        assert endpoint in refused.value.why
        assert "--issuer-host" in refused.value.fix
        assert other.requests == []


async def test_an_api_without_https_may_not_name_an_issuer() -> None:
    with pytest.raises(CliError, match="is not secure"):
        await log_in("http://api.example.com", client_secret=SECRET)


async def test_the_authority_must_be_a_readable_file(provider: Provider, tmp_path: Path) -> None:
    with pytest.raises(CliError, match="is no authority"):
        await log_in(provider.url, client_secret=SECRET, ca=str(tmp_path / "none.pem"))
    assert provider.requests == [RESOURCE_METADATA]
