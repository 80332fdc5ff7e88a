"""Asks an OpenID provider for its keys: first its metadata (OpenID Connect Discovery 1.0), then the set (RFC 7517)."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypeVar, cast

import httpx
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from gofleet.adapters.oidc.keys import Key
from gofleet.domain.errors import Unavailable

METADATA = "/.well-known/openid-configuration"
RESPONSE_BYTES_MAX = 65_536
KEYS_MAX = 20
LEAST_RSA_BITS = 2048
CURVE = "P-256"
"""Of ES256, the only one of its family that we take."""
WHO = "the issuer of tokens"

T = TypeVar("T")


class _Metadata(msgspec.Struct):
    issuer: str
    jwks_uri: str


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


class Issuer:
    """The provider that calls itself `url`. With `keys_url` its metadata is not asked for where the keys are."""

    def __init__(self, url: str, *, keys_url: str = "", timeout_seconds: float = 3.0) -> None:
        self._url = url
        self._keys_url = keys_url
        # No redirects, and no proxy from the environment: keys come from where they were said to be.
        self._http = httpx.AsyncClient(timeout=timeout_seconds, follow_redirects=False, trust_env=False)

    async def close(self) -> None:
        await self._http.aclose()

    async def keys(self) -> Mapping[str, Key]:
        """Those that may sign access tokens, by `kid`. `Unavailable` if they cannot be had."""
        found = _decoded(await self._get(self._keys_url or await self._discovered()), _KeySet)
        keys: dict[str, Key] = {}
        for raw in found.keys[:KEYS_MAX]:
            if key := load_public_key(raw):
                keys.setdefault(str(raw["kid"]), key)
        if not keys:
            raise Unavailable(WHO, "it has no key that we can use")
        return keys

    async def _discovered(self) -> str:
        metadata = _decoded(await self._get(self._url.rstrip("/") + METADATA), _Metadata)
        if metadata.issuer != self._url:
            raise Unavailable(WHO, f"it calls itself {metadata.issuer!r}, not {self._url!r} (AUTH_ISSUER)")
        if self._url.startswith("https:") and not metadata.jwks_uri.startswith("https:"):
            raise Unavailable(WHO, f"its keys would come unencrypted from {metadata.jwks_uri}")
        return metadata.jwks_uri

    async def _get(self, url: str) -> bytes:
        try:
            async with self._http.stream("GET", url, headers={"Accept": "application/json"}) as answer:
                if answer.status_code != HTTPStatus.OK:
                    raise Unavailable(WHO, f"{url} answers {answer.status_code}")
                body = b""
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > RESPONSE_BYTES_MAX:
                        raise Unavailable(WHO, f"{url} answers with more than {RESPONSE_BYTES_MAX} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(WHO, f"{url}: {str(error) or type(error).__name__}") from error
        return body


def load_public_key(raw: Mapping[str, Any]) -> Key | None:
    """The key of one entry of a set; None unless it is a public one, strong enough, and made for signatures. Secret
    ones (`oct`) never are: who can verify with them can sign as well."""
    kid = raw.get("kid")
    if not isinstance(kid, str) or not kid or raw.get("use", "sig") != "sig" or "d" in raw:
        return None
    try:
        if raw.get("kty") == "RSA" and raw.get("alg", "RS256") == "RS256":
            return RSAKey.import_key(cast("Any", dict(raw))) if _bits(raw["n"]) >= LEAST_RSA_BITS else None
        if raw.get("kty") == "EC" and raw.get("alg", "ES256") == "ES256":
            curve = ECKey.import_key(cast("Any", dict(raw)))
            return curve if curve.curve_name == CURVE else None
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return None


def _bits(number: str) -> int:
    """How long a number of a key is (RFC 7518, 6.3.1.1: no leading zeros)."""
    raw = b64decode(number + "=" * (-len(number) % 4), altchars=b"-_", validate=True)
    return int.from_bytes(raw, "big").bit_length()


def _decoded(body: bytes, type: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=type)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unavailable(WHO, f"it answers with something else than we asked for: {error}") from error
