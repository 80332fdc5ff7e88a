"""Access tokens as well-known OpenID providers issue them.

Names and types of the claims are those of the providers' documentation and of decoded tokens; values are examples. The
settings that accept them are read from the integrators' page.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.auth.mint import FIRST, MISSING, Json, signed

PAGE = Path(__file__).parents[2] / "gofleet" / "adapters" / "http" / "README.md"
SCOPES = ["orders:read", "orders:write", "drivers:read", "drivers:write"]
UUID = "8c2f6b1e-93c1-4c4b-9d6e-27a1c3a0f5d4"
SERVICE = "service"


@dataclass(frozen=True)
class Shape:
    """`header` without `kid`; `claims` by role and time of issue, without `iss`. `id_claims` are those of an ID token
    for the same user, which is refused. `ids` are the principals' ids by role."""

    provider: str
    issuer: str
    header: Mapping[str, object]
    claims: Callable[[str, int], Json]
    id_claims: Callable[[int], Json]
    ids: Mapping[str, str]

    def token(self, role: str, now: int) -> str:
        return self._signed({"iss": self.issuer, **self.claims(role, now)})

    def id_token(self, now: int) -> str:
        return self._signed({"iss": self.issuer, **self.id_claims(now)}, {"alg": "RS256", "typ": "JWT"})

    def _signed(self, claims: Json, header: Mapping[str, object] | None = None) -> str:
        head = {"kid": "first", **(self.header if header is None else header)}
        body = {name: value for name, value in claims.items() if value is not MISSING}
        return signed(json.dumps(head).encode(), json.dumps(body).encode(), FIRST, "RS256")


def settings_of(provider: str) -> dict[str, str]:
    """The settings in the provider's row of the page, quoted as for a shell."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| {provider} |")]
    assert len(rows) == 1, f"{len(rows)} rows for {provider}"
    spans = re.findall(r"`(AUTH_[^`]*)`", rows[0].split(" | ")[1])
    words = [word for span in spans for word in shlex.split(span)]
    return dict(word.split("=", 1) for word in words)


def _keycloak(role: str, now: int) -> Json:
    return {
        "exp": now + 300,
        "iat": now,
        "auth_time": now - 5,
        "jti": "onrtac:4a1d3f0e-52a1-4b9b-8a3f-0d6e1f2a7c11",
        "aud": ["gofleet-api", "account"],
        "sub": UUID,
        "typ": "Bearer",
        "azp": "shop",
        "sid": "1f1f3a0c-37ab-4f1e-a1de-7f4b6a1f0f55",
        "acr": "1",
        "allowed-origins": ["https://shop.example.com"],
        "realm_access": {"roles": ["default-roles-gofleet", "offline_access", "uma_authorization"]},
        "resource_access": {"gofleet-api": {"roles": [role]}, "account": {"roles": ["manage-account"]}},
        "scope": f"openid {' '.join(SCOPES)} profile email",
        "email_verified": True,
        "preferred_username": "ana",
        "email": "ana@example.com",
    }


def _keycloak_id(now: int) -> Json:
    return {**_keycloak("dispatcher", now), "typ": "ID", "aud": "gofleet-api", "at_hash": "fPlsvVszI29LU2UhDyJ9vg"}


AUTH0_USER, AUTH0_SERVICE = "auth0|507f1f77bcf86cd799439020", "my7cQ0PZzKqKqW5fTz2oXK1nqS5jC3wB@clients"
AUTH0_ROLES = "https://gofleet.example.com/roles"


def _auth0(role: str, now: int) -> Json:
    person = role != SERVICE
    audience = "https://gofleet.example.com/api"
    return {
        AUTH0_ROLES: [role],
        "sub": AUTH0_USER if person else AUTH0_SERVICE,
        "aud": [audience, "https://example.eu.auth0.com/userinfo"] if person else audience,
        "iat": now,
        "exp": now + 86_400,
        "scope": ("openid profile " if person else "") + " ".join(SCOPES),
        "gty": MISSING if person else "client-credentials",
        "azp": "my7cQ0PZzKqKqW5fTz2oXK1nqS5jC3wB",
    }


def _auth0_profile(role: str, now: int) -> Json:
    """As the API's setting `RFC 9068` issues them."""
    claims = _auth0(role, now)
    return {**claims, "client_id": claims["azp"], "jti": "gSM3QVnzQ0Yt1zGcQXgmEp", "azp": MISSING, "gty": MISSING}


def _auth0_id(now: int) -> Json:
    return {
        AUTH0_ROLES: ["dispatcher"],
        "nickname": "ana",
        "name": "ana@example.com",
        "sub": AUTH0_USER,
        "aud": "https://gofleet.example.com/api",  # in truth the client's id
        "iat": now,
        "exp": now + 36_000,
        "sid": "QgpuE9Ui6gW",
        "nonce": "n",
    }


OKTA_USER, OKTA_SERVICE = "ana@example.com", "0oa1gjh63g214q0Hq0g4"


def _okta(role: str, now: int) -> Json:
    person = role != SERVICE
    return {
        "ver": 1,
        "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
        "aud": "api://gofleet",
        "iat": now,
        "exp": now + 3600,
        "cid": OKTA_SERVICE,
        "uid": "00uk1u7AsAk6dZL3z0g3" if person else MISSING,
        "scp": [*(["openid"] if person else []), *SCOPES],
        "auth_time": now - 3 if person else MISSING,
        "sub": OKTA_USER if person else OKTA_SERVICE,
        "roles": [role] if person else SERVICE,
    }


def _okta_id(now: int) -> Json:
    return {
        "sub": "00uk1u7AsAk6dZL3z0g3",
        "name": "Ana",
        "ver": 1,
        "aud": "api://gofleet",  # in truth the client's id
        "iat": now,
        "exp": now + 3600,
        "jti": "ID.radCQMOQUmyvcTBmmIL0J6BaS60apUEiC7-vI7pOmkw",
        "amr": ["pwd"],
        "idp": "00o1n8sbwArJ7OQRw406",
        "auth_time": now - 3,
        "roles": ["dispatcher"],
    }


ENTRA_API = "9f1c3b5e-0d0a-4f9e-8b9c-6f2a8d7e1c42"
ENTRA_USER, ENTRA_SERVICE = "3a6f2d1c-58b7-4a30-9c1e-b1a2f3c4d5e6", "7e4b9a20-1c3d-4e5f-8a6b-0c1d2e3f4a5b"


def _entra(role: str, now: int) -> Json:
    person = role != SERVICE
    return {
        "aud": ENTRA_API,
        "iat": now - 300,
        "nbf": now - 300,
        "exp": now + 4_800,
        "aio": "AXQAi/8IAAAAqx",
        "azp": "1f7ed6ae-2c0b-4a6e-9d38-0b1f0e5f2a33",
        "azpacr": "1",
        "name": "Ana" if person else MISSING,
        "oid": ENTRA_USER if person else ENTRA_SERVICE,
        "preferred_username": "ana@example.com" if person else MISSING,
        "rh": "0.AXYAe0q7",
        "roles": [role] if person else [SERVICE, *SCOPES],
        "scp": " ".join(SCOPES) if person else MISSING,
        "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ" if person else ENTRA_SERVICE,
        "tid": "c3a1b2d4-0000-4000-8000-9b8a7c6d5e4f",
        "uti": "rL7bz2fN1Ey8xYlk7VQxAA",
        "ver": "2.0",
    }


def _entra_id(now: int) -> Json:
    kept = ("aud", "iat", "nbf", "exp", "aio", "name", "oid", "preferred_username", "rh", "roles", "tid", "uti", "ver")
    claims = _entra("dispatcher", now)
    return {name: claims[name] for name in kept} | {"nonce": "n", "sub": claims["sub"]}


COGNITO_WEB, COGNITO_SHOP = "1example23456789webclient0", "7example98765432shopclient"


def _cognito(role: str, now: int) -> Json:
    person = role != SERVICE
    names = SCOPES if person else [*SCOPES, SERVICE]
    return {
        "sub": UUID if person else COGNITO_SHOP,
        "cognito:groups": [role] if person else MISSING,
        "version": 2,
        "client_id": COGNITO_WEB if person else COGNITO_SHOP,
        "origin_jti": "5b9f50a3-05da-454a-8b99-b79c2349de77" if person else MISSING,
        "event_id": "0ed5ad5c-7182-4ecf-b2ce-4c3a3a9a2f6a" if person else MISSING,
        "token_use": "access",
        "scope": " ".join([*(["openid"] if person else []), *(f"gofleet-api/{name}" for name in names)]),
        "auth_time": now - 2,
        "exp": now + 3600,
        "iat": now,
        "jti": "7726136a-c5c2-4e2a-b4e7-1b2f0c5d3a11",
        "username": "ana" if person else MISSING,
    }


def _cognito_id(now: int) -> Json:
    return {
        "sub": UUID,
        "cognito:groups": ["dispatcher"],
        "cognito:username": "ana",
        "client_id": COGNITO_WEB,  # in truth `aud`
        "token_use": "id",
        "auth_time": now - 2,
        "exp": now + 3600,
        "iat": now,
        "jti": "0a5c0a55-3c41-4e0c-9d0b-3b8a2f0a1c2d",
        "email": "ana@example.com",
    }


ZITADEL_PROJECT, ZITADEL_USER, ZITADEL_SERVICE = "226514857532145666", "226514857532211202", "226514857532276738"
ZITADEL_ROLES = "urn:zitadel:iam:org:project:roles"


def _zitadel(role: str, now: int) -> Json:
    organisation = {"226514857532080130": "gofleet.example.com"}
    granted = dict.fromkeys([role, *SCOPES], organisation)
    return {
        "aud": ["226514857532342274@gofleet", ZITADEL_PROJECT],
        "client_id": "226514857532342274@gofleet",
        "exp": now + 43_200,
        "iat": now,
        "iss": "https://gofleet-x1y2z3.zitadel.cloud",
        "jti": "V2_226514857532407810-at_226514857532473346",
        "nbf": now,
        "sub": ZITADEL_SERVICE if role == SERVICE else ZITADEL_USER,
        ZITADEL_ROLES: granted,
        f"urn:zitadel:iam:org:project:{ZITADEL_PROJECT}:roles": granted,
    }


def _zitadel_id(now: int) -> Json:
    kept = ("aud", "client_id", "exp", "iat", "iss", "sub", ZITADEL_ROLES)
    claims = _zitadel("dispatcher", now)
    return {name: claims[name] for name in kept} | {"amr": ["pwd"], "azp": claims["client_id"], "auth_time": now}


def _rfc_9068(role: str, now: int) -> Json:
    """As the example of its section 2.2, with a scope of ours."""
    return {
        "sub": "5ba552d67",
        "aud": "gofleet-api",
        "exp": now + 900.25,
        "iat": now + 0.25,
        "jti": "dbe39bf3a3ba4238a513f51d6e1691c4",
        "client_id": "s6BhdRkqt3",
        "scope": f"openid {' '.join(SCOPES)}",
        "roles": role,
    }


def _rfc_9068_id(now: int) -> Json:
    return {**_rfc_9068("dispatcher", now), "nonce": "n"}


def _ids(person: str, service: str) -> Mapping[str, str]:
    return {"customer": person, "driver": person, "dispatcher": person, SERVICE: service}


JWT: Any = {"alg": "RS256", "typ": "JWT"}
BARE: Any = {"alg": "RS256"}
AT_JWT: Any = {"alg": "RS256", "typ": "at+jwt"}
AUTH0_IDS = _ids("x-bae711141f78e7d1877321e6dd4a3213", "x-1a29647263b2970792d645367e5236bc")
SHAPES = (
    Shape(
        "Keycloak",
        "https://login.example.com/realms/gofleet",
        JWT,
        _keycloak,
        _keycloak_id,
        _ids(UUID, UUID),
    ),
    Shape("Auth0", "https://example.eu.auth0.com/", JWT, _auth0, _auth0_id, AUTH0_IDS),
    Shape("Auth0", "https://example.eu.auth0.com/", AT_JWT, _auth0_profile, _auth0_id, AUTH0_IDS),
    Shape(
        "Okta",
        "https://example.okta.com/oauth2/aus9o8wzkhckw9TLa0h7z",
        BARE,
        _okta,
        _okta_id,
        _ids("x-8e43ca37701228e74983efdbd0cff5c1", OKTA_SERVICE),
    ),
    Shape(
        "Microsoft Entra ID",
        "https://login.microsoftonline.com/c3a1b2d4-0000-4000-8000-9b8a7c6d5e4f/v2.0",
        JWT,
        _entra,
        _entra_id,
        _ids(ENTRA_USER, ENTRA_SERVICE),
    ),
    Shape(
        "Amazon Cognito",
        "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_example",
        BARE,
        _cognito,
        _cognito_id,
        _ids(UUID, COGNITO_SHOP),
    ),
    Shape(
        "Zitadel",
        "https://gofleet-x1y2z3.zitadel.cloud",
        JWT,
        _zitadel,
        _zitadel_id,
        _ids(ZITADEL_USER, ZITADEL_SERVICE),
    ),
    Shape(
        "RFC 9068",
        "https://login.example.com",
        AT_JWT,
        _rfc_9068,
        _rfc_9068_id,
        _ids("5ba552d67", "5ba552d67"),
    ),
)
