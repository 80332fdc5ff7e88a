"""Tokens of a certified OpenID provider, by every grant, at the API."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.auth import Authenticator
from gofleet.adapters.http.server import serving
from gofleet.adapters.oidc import issuer as oidc
from gofleet.adapters.oidc.keys import JwksCache, RefreshPolicy
from gofleet.adapters.oidc.tokens import TokenRules, TokenVerifier
from gofleet.embedded.resources import free_ports
from tests.auth.certified import Browser, Issuer, installed, issuing
from tests.roles.conftest import World
from tests.waiting import eventually

ORDER = {"id": "o-1", "price": 10.0, "tax": 1.0}
CALLBACK = "http://127.0.0.1/callback"
LOGIN_SECONDS = 60


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("issuer"))


def a_key(name: str) -> RSAKey:
    return RSAKey.generate_key(2048, parameters={"kid": name, "use": "sig", "alg": "RS256"})


@asynccontextmanager
async def trusting(issuer: Issuer, policy: RefreshPolicy | None = None) -> AsyncGenerator[httpx.AsyncClient]:
    """An API that accepts the issuer's tokens."""
    asking = oidc.Issuer(issuer.url)
    keys = JwksCache(asking.keys, policy)
    tokens = TokenVerifier(keys, TokenRules(issuer.url, frozenset({"gofleet-api"})))
    app = api_app(World().api(), authenticator=Authenticator(tokens.principal, issuer=issuer.url))
    async with (
        serving(app, "127.0.0.1", 0, grace_seconds=2) as listening,
        httpx.AsyncClient(base_url=listening.url, timeout=10) as client,
    ):
        yield client
    await keys.close()
    await asking.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_service_authenticates_by_client_credentials(place: Path) -> None:
    with issuing(place, [a_key("one")]) as issuer:
        async with trusting(issuer) as client:
            token = issuer.shop_token()
            created = await client.post("/api/v1/orders", json=ORDER, headers=bearer(token))
            assert (created.status_code, created.json()["status"]) == (201, "PENDING")
            timeline = await client.get("/api/v1/orders/o-1/events", headers=bearer(token))
            assert timeline.json()["items"][0]["actor"] == "service:shop"
            refused = await client.get("/api/v1/drivers", headers=bearer(token))
            assert refused.status_code == 403
            assert refused.json()["detail"] == "the token does not have the scope drivers:read"
            assert 'scope="drivers:read"' in refused.headers["WWW-Authenticate"]


def by_code(issuer: Issuer, name: str) -> Mapping[str, str]:
    """Authorization code with PKCE (RFC 7636), as a web page would do it."""
    verifier = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    request = {
        "client_id": "web",
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "scope": "openid orders:read orders:write",
        "state": "s",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    back = Browser(name).visit(f"{issuer.metadata['authorization_endpoint']}?{urlencode(request)}", CALLBACK)
    [code] = parse_qs(urlsplit(back).query)["code"]
    return issuer.token(
        grant_type="authorization_code", client_id="web", code=code, redirect_uri=CALLBACK, code_verifier=verifier
    )


async def test_a_user_authenticates_by_code_and_an_id_token_is_refused(place: Path) -> None:
    with issuing(place, [a_key("one")]) as issuer:
        async with trusting(issuer) as client:
            got = by_code(issuer, "ana")
            created = await client.post("/api/v1/orders", json=ORDER, headers=bearer(got["access_token"]))
            assert (created.status_code, created.json()["customer_id"]) == (201, "ana")
            refused = await client.get("/api/v1/orders", headers=bearer(got["id_token"]))
            assert refused.status_code == 401
            other = by_code(issuer, "dora")["access_token"]
            moved = await client.post(f"/api/v1/orders/{created.json()['id']}/cancel", headers=bearer(other))
            assert moved.json()["status"] == "CANCELLED"


async def test_keys_are_rotated_and_withdrawn(place: Path) -> None:
    first, second = a_key("one"), a_key("two")
    port = free_ports(1)[0]
    policy = RefreshPolicy(fresh_seconds=0.2, between_seconds=0.1)
    async with trusting(Issuer(f"http://127.0.0.1:{port}"), policy) as client:

        async def status(token: str) -> int:
            return (await client.get("/api/v1/orders", headers=bearer(token))).status_code

        with issuing(place, [first], port) as issuer:
            old = issuer.shop_token()
            assert await status(old) == 200
        assert await status(old) == 200  # the provider is stopped
        with issuing(place, [second, first], port) as issuer:
            new = issuer.shop_token()
            assert [await status(new), await status(old)] == [200, 200]
        with issuing(place, [second], port) as issuer:

            async def is_refused() -> bool:
                return await status(old) == 401

            await eventually(is_refused)
            assert await status(new) == 200


async def test_the_protected_resource_metadata_name_the_issuer(place: Path) -> None:
    with issuing(place, [a_key("one")]) as issuer:
        async with trusting(issuer) as client:
            metadata = (await client.get("/.well-known/oauth-protected-resource")).json()
    assert metadata["authorization_servers"] == [issuer.url]
    assert "orders:read" in metadata["scopes_supported"]


def gofleet(*words: str, home: Path, **more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "XDG_CONFIG_HOME": str(home), "COLUMNS": "200", **more}
    return subprocess.Popen(
        [sys.executable, "-m", "gofleet", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_a_user_logs_in_from_a_terminal(place: Path, tmp_path: Path) -> None:
    with issuing(place, [a_key("one")]) as issuer:
        async with trusting(issuer) as client:
            url = str(client.base_url)
            output = await asyncio.to_thread(_logged_in, url, tmp_path)
            assert "logged in at" in output
            kept = tmp_path / "gofleet" / "tokens.json"
            assert stat.S_IMODE(kept.stat().st_mode) == 0o600
            listed = await asyncio.to_thread(_run, "orders", "list", "--url", url, "--json", home=tmp_path)
            assert listed == (0, "", "")
            anonymous = await asyncio.to_thread(_run, "orders", "list", "--url", url, home=tmp_path, GOFLEET_TOKEN="")
            assert anonymous[0] == 1
            assert "Authentication required" in anonymous[2]
            assert "gofleet login" in anonymous[2]
            assert (await asyncio.to_thread(_run, "logout", "--url", url, home=tmp_path))[1] == "token deleted\n"
            assert (await asyncio.to_thread(_run, "orders", "list", "--url", url, home=tmp_path))[0] == 1


async def test_a_service_logs_in_with_its_secret(place: Path, tmp_path: Path) -> None:
    with issuing(place, [a_key("one")]) as issuer:
        async with trusting(issuer) as client:
            url = str(client.base_url)
            words = ("login", "--url", url, "--client-id", "shop", "--scope", "orders:read")
            code, output, _ = await asyncio.to_thread(_run, *words, home=tmp_path, **secret("shop-secret"))
            assert (code, "logged in" in output) == (0, True)
            assert (await asyncio.to_thread(_run, "orders", "list", "--url", url, home=tmp_path))[0] == 0
            wrong = await asyncio.to_thread(_run, *words, home=tmp_path, **secret("wrong"))
            assert wrong[0] == 1
            assert "the issuer rejected" in wrong[2]
            token = issuer.shop_token("orders:read")
            by_option = ("orders", "list", "--token", token, "--url", url)
            assert (await asyncio.to_thread(_run, *by_option, home=tmp_path / "empty"))[0] == 0


def secret(text: str) -> dict[str, str]:
    return {"GOFLEET_CLIENT_SECRET": text}


def _logged_in(url: str, home: Path) -> str:
    """Output of `gofleet login`, while a user opens the page that it prints."""
    process = gofleet("login", "--url", url, home=home)
    assert process.stdout is not None
    first = process.stdout.readline()
    found = re.search(r"open (\S+) and", first)
    assert found, first + (process.stderr.read() if process.stderr else "")
    Browser("ana").visit(found[1])
    rest, errors = process.communicate(timeout=LOGIN_SECONDS)
    assert process.returncode == 0, errors
    return rest


def _run(*words: str, home: Path, **more: str) -> tuple[int, str, str]:
    process = gofleet(*words, home=home, **more)
    output, errors = process.communicate(timeout=LOGIN_SECONDS)
    return process.returncode, output, errors
