"""Access tokens: JWTs (RFC 7519) as RFC 9068 profiles them, or as Keycloak writes them. RFC 8725 tells what to fear.

Nothing in a token chooses how it is verified: neither the algorithm, which must be one of ours and the key's own, nor
where keys come from. Only what is signed is read any further.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any, NamedTuple, NoReturn, cast

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from joserfc.jwt import JWTClaimsRegistry

from gofleet.adapters.oidc.keys import JwksCache, Key
from gofleet.domain.errors import Unauthenticated
from gofleet.domain.principal import Principal, Role, Scope
from gofleet.domain.values import IDENTIFIER

Json = dict[str, Any]
MOST_BYTES = 8192
LONGEST_KID = 256
LEEWAY_SECONDS = 30
"""That the issuer's clock and ours may differ."""
FORBIDDEN = ("crit", "b64", "jwk", "jku", "x5u")
"""Headers that would change how the rest is read, or bring a key of the sender's own: no honest issuer sets them."""
ACCESS_TYPES = frozenset({"at+jwt", "application/at+jwt"})
KEYCLOAK_TYPE = "Bearer"
"""What Keycloak calls an access token, in a claim; its ID tokens say `ID`, and refresh tokens `Refresh`."""


@dataclass(frozen=True)
class TokenRules:
    """Tokens of `issuer` for `audience`, that live no longer than `most_seconds`. Roles stand in one of `role_claims`,
    each the names of objects and at last a list (`("resource_access", "gofleet-api", "roles")`)."""

    issuer: str
    audience: str
    role_claims: Sequence[Sequence[str]] = (("roles",),)
    most_seconds: float = 3600.0
    remembered: int = 4096


class _Known(NamedTuple):
    principal: Principal
    until: float
    kid: str
    key: Key


class TokenVerifier:
    """Tells who a token is of."""

    def __init__(self, keys: JwksCache, rules: TokenRules, clock: Callable[[], float] = time) -> None:
        self._keys = keys
        self._rules = rules
        self._clock = clock
        options: Any = {
            "iss": {"essential": True, "value": rules.issuer},
            "aud": {"essential": True, "value": rules.audience},
            "exp": {"essential": True},
            "iat": {"essential": True},
            "sub": {"essential": True},
        }
        self._claims = JWTClaimsRegistry(now=lambda: int(clock()), leeway=LEEWAY_SECONDS, **options)
        self._known: dict[bytes, _Known] = {}

    async def principal(self, token: str) -> Principal:
        """Who was given it. `Unauthenticated`; `Unavailable` while the issuer's keys cannot be had."""
        if len(token) > MOST_BYTES:
            raise Unauthenticated(f"the token is longer than {MOST_BYTES} characters")
        name = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        if (known := self._known.get(name)) and self._holds(known):
            return known.principal
        kid, algorithm = _signed_by(token)
        key = await self._keys.get(kid)
        claims = self._checked(_verified(token, key, algorithm))
        principal = Principal.named(claims["sub"], self._roles(claims), _scopes(claims))
        self._remember(name, _Known(principal, claims["exp"] + LEEWAY_SECONDS, kid, key))
        return principal

    def _holds(self, known: _Known) -> bool:
        """A key that the issuer took back takes its tokens with it."""
        return self._clock() < known.until and self._keys.cached(known.kid) is known.key

    def _remember(self, name: bytes, known: _Known) -> None:
        if len(self._known) >= self._rules.remembered:
            del self._known[next(iter(self._known))]  # the oldest
        self._known[name] = known

    def _checked(self, claims: Json) -> Json:
        try:
            self._claims.validate(claims)
        except JoseError as error:
            raise Unauthenticated(f"the token's claims: {error.description or error.error}") from error
        for name in ("exp", "iat", "nbf"):
            if name in claims and not _whole(claims[name]):
                raise Unauthenticated(f"the token's {name} is no whole number")
        if claims["exp"] - claims["iat"] > self._rules.most_seconds:
            raise Unauthenticated(f"the token lives for more than {self._rules.most_seconds:g} s")
        if not isinstance(claims["sub"], str) or not IDENTIFIER.fullmatch(claims["sub"]):
            raise Unauthenticated("the token's sub cannot be the name of a customer or a driver")
        return claims

    def _roles(self, claims: Json) -> frozenset[Role]:
        """Those that are ours; issuers give others as well."""
        named = {name for path in self._rules.role_claims for name in _list_at(claims, path)}
        return frozenset(role for role in Role if role.value in named)


def _signed_by(token: str) -> tuple[str, str]:
    """The name of the key that is said to have signed it, and the algorithm."""
    parts = token.split(".")
    if len(parts) != 3:
        raise Unauthenticated("the token is no signed JWT")
    header = _object(_bytes(parts[0]), "header")
    if any(name in header for name in FORBIDDEN):
        raise Unauthenticated(f"the token's header must have none of {', '.join(FORBIDDEN)}")
    kid, algorithm = header.get("kid"), header.get("alg")
    if not isinstance(kid, str) or not 0 < len(kid) <= LONGEST_KID:
        raise Unauthenticated("the token does not say which key has signed it")
    if not isinstance(algorithm, str) or algorithm not in {"RS256", "ES256"}:
        raise Unauthenticated("the token is signed by another algorithm than RS256 or ES256")
    return kid, algorithm


def _verified(token: str, key: Key, algorithm: str) -> Json:
    """The claims, if that key has signed them and the token is one for access."""
    if algorithm != ("RS256" if isinstance(key, RSAKey) else "ES256"):
        raise Unauthenticated("the token's algorithm is not its key's")
    try:
        signed = jws.deserialize_compact(token, key, algorithms=[algorithm])
    except (JoseError, ValueError) as error:
        raise Unauthenticated("the token's signature does not hold") from error
    claims = _object(signed.payload, "payload")
    kind: object = signed.headers().get("typ", "")
    is_access = isinstance(kind, str) and kind.lower() in ACCESS_TYPES
    if not is_access and claims.get("typ") != KEYCLOAK_TYPE:
        raise Unauthenticated("it is no access token: neither at+jwt by its header, nor Bearer by its claims")
    return claims


def _scopes(claims: Json) -> frozenset[Scope]:
    """RFC 8693: words with spaces between."""
    said = claims.get("scope", "")
    named = set(said.split()) if isinstance(said, str) else set[str]()
    return frozenset(scope for scope in Scope if scope.value in named)


def _list_at(claims: Json, path: Sequence[str]) -> list[str]:
    at: object = claims
    for name in path:
        at = cast("Mapping[str, object]", at).get(name) if isinstance(at, Mapping) else None
    return [one for one in cast("list[object]", at) if isinstance(one, str)] if isinstance(at, list) else []


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _bytes(part: str) -> bytes:
    try:
        return b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (NotBase64, ValueError) as error:
        raise Unauthenticated("the token is no signed JWT") from error


def _object(text: bytes, what: str) -> Json:
    """One JSON object in which no name stands twice: two readers might each believe another."""
    try:
        found: object = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise Unauthenticated(f"the token's {what} is no JSON object with unique names") from error
    if not isinstance(found, dict):
        raise Unauthenticated(f"the token's {what} is no JSON object")
    return cast("Json", found)


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refused(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")
