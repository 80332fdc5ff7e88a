"""Verification of access tokens: JWTs (RFC 7519) of the RFC 9068 profile, or of a provider's own, by RFC 8725.

Nothing in a token decides how it is verified: the algorithm must be an accepted one and belong to the key, and the key
set comes from the configuration. Claims are read only after the signature is verified.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any, NamedTuple, NoReturn, cast

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from joserfc.jwt import JWTClaimsRegistry

from gofleet.adapters.oidc.keys import BeforeWait, JwksCache, Key, do_nothing
from gofleet.domain.errors import Unauthenticated
from gofleet.domain.principal import Principal, Role, Scope, principal_id
from gofleet.settings.auth import EACH, ClaimPath

Json = dict[str, Any]
TOKEN_CHARS_MAX = 8192
KID_CHARS_MAX = 256
LEEWAY_SECONDS = 30
"""Tolerated difference between the issuer's clock and ours."""
FORBIDDEN = ("crit", "b64", "jwk", "jku", "x5u")
"""Headers that would change the interpretation of a token, or supply a key with it: no issuer needs them."""
ACCESS_TYPES = frozenset({"at+jwt", "application/at+jwt"})
PLAIN_TYPES = frozenset({"", "jwt"})
"""Types of tokens whose claims must show whether they are access tokens."""
KEYCLOAK_TYPE = ("typ", "Bearer")
"""Keycloak's claim in access tokens; that of its ID tokens is `ID`, of refresh tokens `Refresh`."""
SECONDS_MAX = 2**53
"""Times beyond it are not exact as a fraction."""


@dataclass(frozen=True)
class TokenRules:
    """Accepts tokens of `issuer` whose claim `audience_claim` contains one of `audiences`, and which are valid for at
    most `most_seconds`. The header of an access token has the type `at+jwt`, or the token has one of `access_claims`,
    each a name and its required value (None = any), which no ID token of the issuer has.

    Roles and scopes are read from paths, each of which leads through objects to a list or a text
    (`("resource_access", "gofleet-api", "roles")`); `prefix` is removed from them. Up to `remembered` verified tokens
    are cached.
    """

    issuer: str
    audiences: frozenset[str]
    audience_claim: str = "aud"
    access_claims: Sequence[tuple[str, str | None]] = (KEYCLOAK_TYPE,)
    subject_claim: str = "sub"
    role_claims: Sequence[ClaimPath] = (("roles",),)
    scope_claims: Sequence[ClaimPath] = (("scope",), ("scp",))
    prefix: str = ""
    most_seconds: float = 3600.0
    remembered: int = 4096

    def __post_init__(self) -> None:
        if not self.audiences:  # joserfc would accept every audience
            raise ValueError("there is no audience")


class _Verified(NamedTuple):
    principal: Principal
    until: float
    kid: str
    key: Key


class TokenVerifier:
    """Verifies tokens, and caches those verified by the hash of the token."""

    def __init__(self, keys: JwksCache, rules: TokenRules, clock: Callable[[], float] = time) -> None:
        self._keys = keys
        self._rules = rules
        self._clock = clock
        options: Any = {
            "iss": {"essential": True, "value": rules.issuer},
            rules.audience_claim: {"essential": True, "values": sorted(rules.audiences)},
            "exp": {"essential": True},
            "iat": {"essential": True},
            rules.subject_claim: {"essential": True},
        }
        self._claims = JWTClaimsRegistry(now=lambda: int(clock()), leeway=LEEWAY_SECONDS, **options)
        self._cache: dict[bytes, _Verified] = {}

    async def principal(self, token: str, before_wait: BeforeWait = do_nothing) -> Principal:
        """The principal of a valid token. `Unauthenticated`; `Unavailable` if the issuer's keys cannot be fetched; what
        `before_wait` raises, which is awaited before waiting for those."""
        if len(token) > TOKEN_CHARS_MAX:
            raise Unauthenticated(f"the token is longer than {TOKEN_CHARS_MAX} characters")
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        if (known := self._cache.get(digest)) and self._is_valid(known):
            return known.principal
        kid, algorithm = _key_and_algorithm(token)
        key = await self._keys.get(kid, before_wait)
        claims = self._check(_verify(token, key, algorithm, self._rules.access_claims))
        principal = Principal.named(self._subject(claims), self._roles(claims), self._scopes(claims))
        self._remember(digest, _Verified(principal, claims["exp"] + LEEWAY_SECONDS, kid, key))
        return principal

    def _is_valid(self, known: _Verified) -> bool:
        """Whether the token has not expired and the issuer has not revoked its key."""
        return self._clock() < known.until and self._keys.cached(known.kid) is known.key

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        if len(self._cache) >= self._rules.remembered:
            del self._cache[next(iter(self._cache))]  # the oldest
        self._cache[digest] = verified

    def _check(self, claims: Json) -> Json:
        try:
            self._claims.validate(claims)
        except JoseError as error:
            raise Unauthenticated(f"the token's claims: {error.description or error.error}") from error
        for name in ("exp", "iat", "nbf"):
            if name in claims and not -SECONDS_MAX < claims[name] < SECONDS_MAX:
                raise Unauthenticated(f"the token's {name} is not a time")
        if claims["exp"] - claims["iat"] > self._rules.most_seconds:
            raise Unauthenticated(f"the token is valid for more than {self._rules.most_seconds:g} s")
        return claims

    def _subject(self, claims: Json) -> str:
        subject = claims[self._rules.subject_claim]
        try:
            return principal_id(subject)
        except (TypeError, UnicodeEncodeError) as error:
            raise Unauthenticated(f"the token's {self._rules.subject_claim} is not text") from error

    def _roles(self, claims: Json) -> frozenset[Role]:
        """The roles that GoFleet knows, among all that the token names. A text is one role."""
        names = self._names(claims, self._rules.role_claims, words=False)
        return frozenset(role for role in Role if role.value in names)

    def _scopes(self, claims: Json) -> frozenset[Scope]:
        """As the roles, but a text is a space-separated list (RFC 8693, 4.2)."""
        names = self._names(claims, self._rules.scope_claims, words=True)
        return frozenset(scope for scope in Scope if scope.value in names)

    def _names(self, claims: Json, paths: Sequence[ClaimPath], *, words: bool) -> set[str]:
        names = {name for path in paths for name in _names_at(claims, path, words=words)}
        return {name.removeprefix(self._rules.prefix) for name in names}


def _key_and_algorithm(token: str) -> tuple[str, str]:
    """The key id and algorithm that the header names."""
    parts = token.split(".")
    if len(parts) != 3:
        raise Unauthenticated("the token is not a signed JWT")
    header = _object(_bytes(parts[0]), "header")
    if any(name in header for name in FORBIDDEN):
        raise Unauthenticated(f"the token's header must not contain {', '.join(FORBIDDEN)}")
    kid, algorithm = header.get("kid"), header.get("alg")
    if not isinstance(kid, str) or not 0 < len(kid) <= KID_CHARS_MAX:
        raise Unauthenticated("the token does not name the key that signed it")
    if not isinstance(algorithm, str) or algorithm not in {"RS256", "ES256"}:
        raise Unauthenticated("the token's algorithm is neither RS256 nor ES256")
    return kid, algorithm


def _verify(token: str, key: Key, algorithm: str, access_claims: Sequence[tuple[str, str | None]]) -> Json:
    """The claims, if the key has signed them and the token is an access token."""
    if algorithm != ("RS256" if isinstance(key, RSAKey) else "ES256"):
        raise Unauthenticated("the token's algorithm is not that of its key")
    try:
        signed = jws.deserialize_compact(token, key, algorithms=[algorithm])
    except (JoseError, ValueError) as error:
        raise Unauthenticated("the token's signature is invalid") from error
    claims = _object(signed.payload, "payload")
    kind = str(signed.headers().get("typ", "")).lower()
    if kind not in ACCESS_TYPES and not (kind in PLAIN_TYPES and _is_marked(claims, access_claims)):
        raise Unauthenticated("not an access token: neither at+jwt by its header, nor by a claim (AUTH_ACCESS_CLAIMS)")
    return claims


def _is_marked(claims: Json, access_claims: Sequence[tuple[str, str | None]]) -> bool:
    return any(claims.get(name) if value is None else claims.get(name) == value for name, value in access_claims)


def _names_at(claims: Json, path: ClaimPath, *, words: bool) -> Collection[str]:
    """The texts of a list, or one text, or with `words` each word of it; with EACH also the names of an object."""
    value: object = claims
    for name in path:
        if name == EACH:
            words = True
            value = list(cast("Mapping[str, object]", value)) if isinstance(value, Mapping) else value
        else:
            value = cast("Mapping[str, object]", value).get(name) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return value.split() if words else (value,)
    return [item for item in cast("list[object]", value) if isinstance(item, str)] if isinstance(value, list) else ()


def _bytes(part: str) -> bytes:
    try:
        return b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (NotBase64, ValueError) as error:
        raise Unauthenticated("the token is not a signed JWT") from error


def _object(text: bytes, what: str) -> Json:
    """A JSON object without duplicate names, for which two parsers could return different values."""
    try:
        value: object = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise Unauthenticated(f"the token's {what} is not a JSON object with unique names") from error
    if not isinstance(value, dict):
        raise Unauthenticated(f"the token's {what} is not a JSON object")
    return cast("Json", value)


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("a duplicate name")
    return unique


def _reject_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")
