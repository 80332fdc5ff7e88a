"""Fetches an OpenID provider's metadata (OpenID Connect Discovery 1.0) and signing keys (RFC 7517)."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Collection, Mapping
from http import HTTPStatus
from ssl import SSLContext
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import httpx
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from gofleet.adapters.oidc.keys import ISSUER, Key
from gofleet.adapters.tls import is_certificate_refused
from gofleet.domain.errors import Misconfigured, Unavailable

METADATA_PATH = "/.well-known/openid-configuration"
RESPONSE_BYTES_MAX = 262_144
KEYS_MAX = 100
RSA_BITS_MIN = 2048
HTTP_PORT, HTTPS_PORT = 80, 443
NOT_THERE = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
CURVE = "P-256"
"""The curve of ES256, the only elliptic-curve algorithm that is accepted."""

T = TypeVar("T")


class _Metadata(msgspec.Struct):
    issuer: str
    jwks_uri: str


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


class Issuer:
    """The provider whose issuer identifier is `url`. With `keys_url` its metadata is not fetched; that may only lead to
    keys at the issuer's own address, or at `key_hosts` (`HOST` or `HOST:PORT`). All requests for the keys together take
    at most `timeout_seconds`. `tls` verifies the servers' certificates, by default with the public authorities."""

    def __init__(
        self,
        url: str,
        *,
        keys_url: str = "",
        key_hosts: Collection[str] = (),
        timeout_seconds: float = 3.0,
        tls: SSLContext | None = None,
    ) -> None:
        self._url = url
        self._keys_url = keys_url
        self._key_hosts = key_hosts
        self._timeout_seconds = timeout_seconds
        # No redirects, and no proxy from the environment: keys come from the configured place only.
        self._http = httpx.AsyncClient(
            timeout=timeout_seconds, follow_redirects=False, trust_env=False, verify=tls or True
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def keys(self) -> Mapping[str, Key]:
        """The keys that may sign access tokens, by `kid`. `Unavailable` if they cannot be fetched, `Misconfigured` if
        there are none at the configured address."""
        try:
            async with asyncio.timeout(self._timeout_seconds):  # httpx's own bounds each read, not their sum
                key_set = _decode(await self._get(self._keys_url or await self._discover()), _KeySet)
        except TimeoutError as error:
            raise Unavailable(ISSUER, f"its keys did not arrive within {self._timeout_seconds:g} s") from error
        keys: dict[str, Key] = {}
        for raw in key_set.keys:
            if key := load_public_key(raw):
                keys.setdefault(str(raw["kid"]), key)
        if len(keys) > KEYS_MAX:
            raise Unavailable(ISSUER, f"it publishes {len(keys)} usable keys, more than {KEYS_MAX}")
        if not keys:
            raise Unavailable(ISSUER, "it publishes no usable key")
        return keys

    async def _discover(self) -> str:
        metadata = _decode(await self._get(self._url.rstrip("/") + METADATA_PATH), _Metadata)
        if metadata.issuer != self._url:
            raise Misconfigured(ISSUER, f"it calls itself {metadata.issuer!r}, not {self._url!r} (AUTH_ISSUER)")
        if not is_at_issuer(metadata.jwks_uri, self._url, self._key_hosts):
            why = f"its keys are at {metadata.jwks_uri}, which is neither its own address nor in AUTH_KEY_HOSTS"
            raise Misconfigured(ISSUER, why)
        return metadata.jwks_uri

    async def _get(self, url: str) -> bytes:
        try:
            async with self._http.stream("GET", url, headers={"Accept": "application/json"}) as response:
                if response.status_code != HTTPStatus.OK:
                    kind = Misconfigured if response.status_code in NOT_THERE else Unavailable
                    raise kind(ISSUER, f"{url} answers {response.status_code}")
                body = b""
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > RESPONSE_BYTES_MAX:
                        raise Unavailable(ISSUER, f"{url} answers with more than {RESPONSE_BYTES_MAX} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            kind = Misconfigured if is_certificate_refused(error) else Unavailable
            raise kind(ISSUER, f"{url}: {str(error) or type(error).__name__}") from error
        return body


def is_at_issuer(url: str, issuer: str, hosts: Collection[str] = ()) -> bool:
    """Whether `url` has the issuer's own scheme, host and port, or leads by https to one of `hosts` (`HOST` or
    `HOST:PORT`). An issuer's metadata must not lead elsewhere: the keys are trusted, and secrets are sent."""
    origin = _origin(url)
    if origin is None or origin == _origin(issuer):
        return origin is not None
    scheme, host, port = origin
    return scheme == "https" and (f"{host}:{port}" in hosts or (port == HTTPS_PORT and host in hosts))


def _origin(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port; None if it is no http address, or has a user name."""
    try:
        address = urlsplit(url)
        port = address.port or {"http": HTTP_PORT, "https": HTTPS_PORT}[address.scheme]
    except (ValueError, KeyError):
        return None
    return None if not address.hostname or "@" in address.netloc else (address.scheme, address.hostname, port)


def load_public_key(raw: Mapping[str, Any]) -> Key | None:
    """The key of one entry of a set; None unless it is a public, sufficiently strong key for signatures. Symmetric keys
    (`oct`) are never accepted: a party that can verify with them can also sign."""
    kid = raw.get("kid")
    if not isinstance(kid, str) or not kid or raw.get("use", "sig") != "sig" or "d" in raw:
        return None
    try:
        if raw.get("kty") == "RSA" and raw.get("alg", "RS256") == "RS256":
            return RSAKey.import_key(cast("Any", dict(raw))) if _bits(raw["n"]) >= RSA_BITS_MIN else None
        if raw.get("kty") == "EC" and raw.get("alg", "ES256") == "ES256":
            curve = ECKey.import_key(cast("Any", dict(raw)))
            return curve if curve.curve_name == CURVE else None
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return None


def _bits(number: str) -> int:
    """The length of a key's number in bits (RFC 7518, 6.3.1.1: no leading zeros)."""
    raw = b64decode(number + "=" * (-len(number) % 4), altchars=b"-_", validate=True)
    return int.from_bytes(raw, "big").bit_length()


def _decode(body: bytes, type: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=type)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unavailable(ISSUER, f"its response is malformed: {error}") from error
