"""Valid and forged access tokens."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from gofleet.adapters.oidc.keys import Key

ISSUER = "https://login.example.com/realms/gofleet"
AUDIENCE = "gofleet-api"
ALL_SCOPES = "openid orders:read orders:write drivers:read drivers:write operations"
FIRST = RSAKey.generate_key(2048, parameters={"kid": "first", "use": "sig", "alg": "RS256"})
CURVE = ECKey.generate_key("P-256", parameters={"kid": "curve", "use": "sig", "alg": "ES256"})
FOREIGN_KEY = RSAKey.generate_key(2048, parameters={"kid": "first"})
"""Key of another issuer under the same key id."""
MISSING: Any = object()
Json = dict[str, Any]


def claims(**changed: object) -> Json:
    """Claims of a valid access token with changes; `MISSING` omits one."""
    now = int(time.time())
    usual: Json = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ana",
        "iat": now,
        "exp": now + 300,
        "scope": ALL_SCOPES,
        "roles": ["customer"],
    }
    return {name: value for name, value in {**usual, **changed}.items() if value is not MISSING}


def token(
    payload: Mapping[str, object] | bytes | None = None,
    key: Key = FIRST,
    *,
    alg: str | None = None,
    **header: object,
) -> str:
    """A token signed by `key`; a payload of bytes is signed as it is."""
    full_header: Json = {
        "typ": "at+jwt",
        "kid": key.kid,
        "alg": alg or ("RS256" if isinstance(key, RSAKey) else "ES256"),
    }
    full_header = {name: value for name, value in {**full_header, **header}.items() if value is not MISSING}
    body = payload if isinstance(payload, bytes) else json.dumps(claims() if payload is None else payload).encode()
    return signed(json.dumps(full_header).encode(), body, key, full_header["alg"])


def signed(header: bytes, payload: bytes, key: Key, algorithm: str) -> str:
    """A token of these bytes: libraries refuse to write some of the headers."""
    text = f"{encoded(header)}.{encoded(payload)}"
    model = jws.JWSRegistry.algorithms[algorithm]
    return f"{text}.{encoded(model.sign(text.encode(), key))}"


def by_secret(header: Mapping[str, object], payload: Mapping[str, object], secret: bytes) -> str:
    """A token signed with HS256 and any bytes as the secret."""
    text = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(payload).encode())}"
    return f"{text}.{encoded(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def unsigned(header: Mapping[str, object], payload: Mapping[str, object], signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(encoded(part) for part in parts)


def encoded(part: bytes) -> str:
    return urlsafe_b64encode(part).rstrip(b"=").decode()


def published(*keys: Key) -> dict[str, list[Json]]:
    """A JWK set (RFC 7517) of the public keys."""
    return {"keys": [dict(key.as_dict(private=False)) for key in keys]}
