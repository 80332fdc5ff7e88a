"""Reading an issuer's metadata and keys: only valid keys of the configured issuer are accepted."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from gofleet.adapters.oidc.issuer import KEYS_MAX, RESPONSE_BYTES_MAX, Issuer, is_at_issuer, load_public_key
from gofleet.adapters.tls import client_tls_context
from gofleet.domain.errors import Unavailable
from gofleet.embedded.certificates import Authority
from tests.auth.mint import CURVE, FIRST, encoded, published
from tests.auth.provider import METADATA, Page, Provider, a_provider


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with a_provider() as provider:
        provider.publish(published(FIRST, CURVE))
        yield provider


async def _keys(url: str, **more: Any) -> list[str]:
    issuer = Issuer(url, **more)
    try:
        return sorted(await issuer.keys())
    finally:
        await issuer.close()


async def test_keys_are_read_where_the_metadata_say(provider: Provider) -> None:
    assert await _keys(provider.url) == ["curve", "first"]
    assert provider.requests == [METADATA, "/keys"]


async def test_a_configured_keys_url_is_used(provider: Provider) -> None:
    assert await _keys("https://login.example.com", keys_url=f"{provider.url}/keys") == ["curve", "first"]
    assert provider.requests == ["/keys"]


@pytest.mark.parametrize(
    ("path", "page", "why"),
    [
        (METADATA, Page(404, b"{}"), "answers 404"),
        (METADATA, Page(302, b"{}", location="/keys"), "answers 302"),
        (METADATA, Page(200, b"<html>"), "response is malformed"),
        (METADATA, Page(200, b"\xff\xfe"), "response is malformed"),
        (METADATA, Page(200, b"[]"), "response is malformed"),
        (METADATA, Page(200, b'{"issuer": "http://127.0.0.1", "jwks_uri": "http://127.0.0.1/keys"}'), "calls itself"),
        ("/keys", Page(500, b"{}"), "answers 500"),
        ("/keys", Page(200, b"{}"), "response is malformed"),
        ("/keys", Page(200, b'{"keys": []}'), "no usable key"),
        ("/keys", Page(200, b" " * (RESPONSE_BYTES_MAX + 1)), "more than"),
    ],
)
async def test_an_invalid_document_is_an_outage(provider: Provider, path: str, page: Page, why: str) -> None:
    provider.pages[path] = page
    with pytest.raises(Unavailable, match=why):
        await _keys(provider.url)


@pytest.mark.parametrize("path", [METADATA, "/keys"])
async def test_a_document_that_arrives_byte_by_byte_is_an_outage(provider: Provider, path: str) -> None:
    provider.pages[path].drip_seconds = 0.05
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable, match="not arrive within"):
            await _keys(provider.url, timeout_seconds=0.3)


async def test_a_refused_connection_is_an_outage(unused_tcp_port: int) -> None:
    with pytest.raises(Unavailable, match="the token issuer"):
        await _keys(f"http://127.0.0.1:{unused_tcp_port}")


async def test_keys_of_an_https_issuer_are_not_read_over_http() -> None:
    class OverHttp(Issuer):
        async def _get(self, url: str) -> bytes:
            assert url.startswith("https:"), "it asks for them all the same"
            document = {"issuer": "https://login.example.com", "jwks_uri": "http://login.example.com/keys"}
            return json.dumps(document).encode()

    issuer = OverHttp("https://login.example.com")
    with pytest.raises(Unavailable, match="AUTH_KEY_HOSTS"):
        await issuer.keys()
    await issuer.close()


async def test_all_keys_are_read_or_none(provider: Provider) -> None:
    many = [{**published(CURVE)["keys"][0], "kid": f"key-{number}"} for number in range(KEYS_MAX)]
    others = [{"kty": "oct", "kid": f"other-{number}", "k": "AA"} for number in range(KEYS_MAX)]
    provider.pages["/keys"] = Page(200, json.dumps({"keys": others + many}).encode())
    assert sorted(await _keys(provider.url)) == sorted(key["kid"] for key in many)
    many.append({**many[0], "kid": "one-more"})
    provider.pages["/keys"] = Page(200, json.dumps({"keys": many}).encode())
    with pytest.raises(Unavailable, match="101 usable keys"):
        await _keys(provider.url)


HTTPS = "https://login.example.com"


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        (f"{HTTPS}/keys", True),
        ("https://LOGIN.example.com:443/keys", True),
        ("https://keys.example.com/keys", True),
        ("https://keys.example.com:8443/keys", False),
        ("https://other.example.com:8443/keys", True),
        ("https://other.example.com/keys", False),
        ("http://login.example.com/keys", False),
        ("http://keys.example.com/keys", False),
        ("https://login.example.com:8443/keys", False),
        ("https://login.example.com.evil.example/keys", False),
        ("https://login.example.com@evil.example/keys", False),
        ("https://evil@login.example.com/keys", False),
        ("https://evil.example/login.example.com", False),
        ("file:///etc/keys", False),
        ("//login.example.com/keys", False),
        ("https://login.example.com:x/keys", False),
        ("https://[/keys", False),
        ("", False),
    ],
)
def test_metadata_lead_to_the_issuer_or_a_listed_host_only(url: str, trusted: bool) -> None:
    assert is_at_issuer(url, f"{HTTPS}/realms/gofleet", {"keys.example.com", "other.example.com:8443"}) == trusted


async def test_keys_at_another_host_are_not_fetched(provider: Provider) -> None:
    async with a_provider() as other:
        other.publish(published(FIRST))
        provider.publish(published(FIRST), jwks_uri=f"{other.url}/keys")
        with pytest.raises(Unavailable, match="AUTH_KEY_HOSTS"):
            await _keys(provider.url)
        assert other.requests == []


async def test_a_private_authority_is_trusted_when_it_is_named(tmp_path: Path) -> None:
    authority = Authority()
    authority.write_certificate(tmp_path / "authority.pem")
    authority.issue(["127.0.0.1"], tmp_path / "server.pem", tmp_path / "server.key")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps(published(FIRST)).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server) as listening:
        url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/keys"
        named = client_tls_context(str(tmp_path / "authority.pem"))
        assert await _keys("https://login.example.com", keys_url=url, tls=named) == ["first"]
        with pytest.raises(Unavailable, match="certificate"):
            await _keys("https://login.example.com", keys_url=url)


def _public(key: RSAKey | ECKey, **changed: object) -> dict[str, Any]:
    return {name: value for name, value in {**key.as_dict(private=False), **changed}.items() if value is not None}


def _weak() -> dict[str, Any]:
    """A public key of 1024 bits without a private key."""
    return {"kty": "RSA", "kid": "weak", "n": encoded(b"\xc5" * 128), "e": "AQAB"}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(dict(OctKey.generate_key(256, parameters={"kid": "s"}).as_dict()), id="secret"),
        pytest.param(_public(FIRST, kid=None), id="without a name"),
        pytest.param(_public(FIRST, kid=""), id="with an empty name"),
        pytest.param(_public(FIRST, kid=7), id="with a number for a name"),
        pytest.param(_public(FIRST, use="enc"), id="for encryption"),
        pytest.param(_public(FIRST, alg="RS512"), id="of another algorithm"),
        pytest.param(_public(FIRST, n="AQAB"), id="of a few bits"),
        pytest.param(_public(FIRST, n="***"), id="broken"),
        pytest.param(_public(FIRST, n=None), id="half"),
        pytest.param(dict(FIRST.as_dict(private=True)), id="with its private half"),
        pytest.param(_weak(), id="weak"),
        pytest.param(_public(ECKey.generate_key("P-384", parameters={"kid": "c"})), id="of another curve"),
        pytest.param(_public(CURVE, x=CURVE.as_dict(private=False)["y"]), id="not on its curve"),
        pytest.param({"kid": "o", "kty": "OKP", "crv": "Ed25519", "x": "AA"}, id="of another kind"),
        pytest.param({"kid": "o"}, id="of no kind"),
    ],
)
def test_invalid_keys_are_ignored(raw: dict[str, Any]) -> None:
    assert load_public_key(raw) is None


ENTRA = {
    "alg": None,
    "x5t": "ZyQ9vYwO",
    "x5c": ["MIIC/TCCAeWgAwIBAgIIUd"],
    "cloud_instance_name": "microsoftonline.com",
}


@pytest.mark.parametrize(
    "raw", [_public(FIRST), _public(FIRST, use=None, alg=None), _public(FIRST, **ENTRA), _public(CURVE)]
)
def test_valid_keys_are_read(raw: dict[str, Any]) -> None:
    found = load_public_key(raw)
    assert found is not None
    assert not found.is_private
