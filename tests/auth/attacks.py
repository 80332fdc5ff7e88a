"""Forged tokens, each with a part of the error that refuses it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from joserfc.jwk import ECKey

from tests.auth.mint import (
    AUDIENCE,
    CURVE,
    FIRST,
    FOREIGN_KEY,
    ISSUER,
    MISSING,
    by_secret,
    claims,
    encoded,
    signed,
    token,
    unsigned,
)

HEADER = {"typ": "at+jwt", "kid": "first", "alg": "RS256"}
SIGNATURE, CLAIMS, KIND, FORBIDDEN = "signature is invalid", "the token's claims", "not an access token", "header must"
ALGORITHM, NO_KEY, NO_JWT, UNIQUE = "neither RS256 nor", "issuer does not have", "not a signed JWT", "unique names"
NO_KID, TIME, LIFE, TEXT = "does not name the key", "not a time", "is valid for more", "is not text"


def _now(seconds: float = 0) -> int:
    return int(time.time() + seconds)


def _header(**changed: object) -> bytes:
    return json.dumps({**HEADER, **changed}).encode()


def _payload(**changed: object) -> bytes:
    return json.dumps(claims(**changed)).encode()


def _twice(name: str, value: object) -> bytes:
    """A payload with one claim twice; most parsers use the last one."""
    return _payload()[:-1] + f', "{name}": {json.dumps(value)}}}'.encode()


def _stripped() -> str:
    return token().rpartition(".")[0] + "."


def _swapped() -> str:
    head, _, signature = token().split(".")
    return f"{head}.{encoded(_payload(sub='admin', roles=['admin']))}.{signature}"


def _flipped() -> str:
    head, payload, signature = token().split(".")
    return f"{head}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


Row = tuple[Callable[[], str], str]
PEM = FIRST.as_pem(private=False)
ROWS: dict[str, Row] = {
    # signature
    "alg none": (lambda: unsigned({**HEADER, "alg": "none"}, claims()), ALGORITHM),
    "alg NoNe": (lambda: unsigned({**HEADER, "alg": "NoNe"}, claims()), ALGORITHM),
    "alg missing": (lambda: unsigned({"typ": "at+jwt", "kid": "first"}, claims(), b"x" * 256), ALGORITHM),
    "alg a list": (lambda: unsigned({**HEADER, "alg": ["RS256"]}, claims(), b"x" * 256), ALGORITHM),
    "HS256 by the public key": (lambda: by_secret({**HEADER, "alg": "HS256"}, claims(), PEM), ALGORITHM),
    "RS256 header on an HS256 signature": (lambda: by_secret(HEADER, claims(), PEM), SIGNATURE),
    "PS256 by the right key": (lambda: token(alg="PS256"), ALGORITHM),
    "RS512 by the right key": (lambda: token(alg="RS512"), ALGORITHM),
    "ES256 by the name of an RSA key": (lambda: token(key=CURVE, kid="first"), "not that of its key"),
    "RS256 by the name of a curve's key": (lambda: token(kid="curve"), "not that of its key"),
    "signature stripped": (_stripped, SIGNATURE),
    "signature changed": (_flipped, SIGNATURE),
    "payload swapped": (_swapped, SIGNATURE),
    "ES256 of zeros": (lambda: unsigned({**HEADER, "kid": "curve", "alg": "ES256"}, claims(), bytes(64)), SIGNATURE),
    "ES256 too short": (lambda: unsigned({**HEADER, "kid": "curve", "alg": "ES256"}, claims(), b"x"), SIGNATURE),
    # key
    "another's key by the same name": (lambda: token(key=FOREIGN_KEY), SIGNATURE),
    "another's curve key": (
        lambda: token(key=ECKey.generate_key("P-256", parameters={"kid": "curve"})),
        SIGNATURE,
    ),
    "kid unknown": (lambda: token(kid="unknown"), NO_KEY),
    "kid missing": (lambda: token(kid=MISSING), NO_KID),
    "kid empty": (lambda: token(kid=""), NO_KID),
    "kid a number": (lambda: unsigned({**HEADER, "kid": 1}, claims(), b"x" * 256), NO_KID),
    "kid a path": (lambda: token(key=FOREIGN_KEY, kid="../../../../dev/null"), NO_KEY),
    "kid SQL": (lambda: token(key=FOREIGN_KEY, kid="first' OR '1'='1"), NO_KEY),
    "kid too long": (lambda: token(kid="k" * 257), NO_KID),
    "a key in the header": (lambda: token(key=FOREIGN_KEY, jwk=FOREIGN_KEY.as_dict(private=False)), FORBIDDEN),
    "jku": (lambda: token(key=FOREIGN_KEY, jku="http://127.0.0.1:9/keys"), FORBIDDEN),
    "x5u": (lambda: token(key=FOREIGN_KEY, x5u="http://127.0.0.1:9/chain"), FORBIDDEN),
    "crit": (lambda: token(crit=["exp"]), FORBIDDEN),
    "crit unknown": (lambda: signed(_header(crit=["x-evil"], **{"x-evil": 1}), _payload(), FIRST, "RS256"), FORBIDDEN),
    "b64 false": (lambda: token(b64=False, crit=["b64"]), FORBIDDEN),
    "b64 without crit": (lambda: token(b64=False), FORBIDDEN),
    # audience and issuer
    "aud wrong": (lambda: token(claims(aud="account")), CLAIMS),
    "aud missing": (lambda: token(claims(aud=MISSING)), CLAIMS),
    "aud a list without us": (lambda: token(claims(aud=["account", f"{AUDIENCE}2"])), CLAIMS),
    "aud empty": (lambda: token(claims(aud=[])), CLAIMS),
    "iss wrong": (lambda: token(claims(iss="https://login.example.com/realms/master")), CLAIMS),
    "iss with a slash more": (lambda: token(claims(iss=f"{ISSUER}/")), CLAIMS),
    "iss missing": (lambda: token(claims(iss=MISSING)), CLAIMS),
    "iss a list": (lambda: token(claims(iss=[ISSUER, "https://evil.example.com"])), CLAIMS),
    # validity
    "expired": (lambda: token(claims(iat=_now(-400), exp=_now(-31))), CLAIMS),
    "exp missing": (lambda: token(claims(exp=MISSING)), CLAIMS),
    "exp a text": (lambda: token(claims(exp="99999999999")), CLAIMS),
    "exp null": (lambda: token(claims(exp=None)), CLAIMS),
    "exp true": (lambda: token(claims(exp=True, iat=0)), CLAIMS),
    "expired by a fraction": (lambda: token(claims(iat=_now(-400), exp=_now(-31) + 0.5)), CLAIMS),
    "exp huge": (lambda: token(claims(exp=10**30)), TIME),
    "exp huge and iat a fraction": (lambda: token(claims(exp=10**400, iat=_now() - 0.5)), TIME),
    "exp beyond all numbers": (lambda: token(_payload().replace(b'"exp": ', b'"exp": 1e999, "was": ')), CLAIMS),
    "iat before all numbers": (lambda: token(_payload().replace(b'"iat": ', b'"iat": -1e999, "was": ')), CLAIMS),
    "exp NaN": (lambda: token(_payload().replace(b'"exp": ', b'"exp": NaN, "was": ')), UNIQUE),
    "exp Infinity": (lambda: token(_payload().replace(b'"exp": ', b'"exp": Infinity, "was": ')), UNIQUE),
    "exp with 5000 digits": (lambda: token(_payload().replace(b'"exp": ', b'"exp": ' + b"9" * 4400)), UNIQUE),
    "lives for a day": (lambda: token(claims(exp=_now(86_400))), LIFE),
    "iat in the future": (lambda: token(claims(iat=_now(60), exp=_now(300))), CLAIMS),
    "iat missing": (lambda: token(claims(iat=MISSING)), CLAIMS),
    "iat a text": (lambda: token(claims(iat="0")), CLAIMS),
    "iat true": (lambda: token(claims(iat=True)), CLAIMS),
    "nbf in the future": (lambda: token(claims(nbf=_now(60))), CLAIMS),
    "nbf a text": (lambda: token(claims(nbf="now")), CLAIMS),
    # subject
    "sub missing": (lambda: token(claims(sub=MISSING)), CLAIMS),
    "sub empty": (lambda: token(claims(sub="")), "the token's"),
    "sub a number": (lambda: token(claims(sub=7)), CLAIMS),
    "sub half a character": (lambda: token(claims(sub="ana\ud800")), TEXT),
    # type
    "ID token of Keycloak": (lambda: token(claims(typ="ID"), typ="JWT"), KIND),
    "refresh token of Keycloak": (lambda: token(claims(typ="Refresh"), typ="JWT"), KIND),
    "ID token of others": (lambda: token(claims(nonce="n"), typ="JWT"), KIND),
    "logout token": (lambda: token(claims(), typ="logout+jwt"), KIND),
    "another type with Keycloak's claim": (lambda: token(claims(typ="Bearer"), typ="logout+jwt"), KIND),
    "no type at all": (lambda: token(claims(), typ=MISSING), KIND),
    "typ a list": (lambda: signed(_header(typ=["at+jwt"]), _payload(), FIRST, "RS256"), "signature"),
    # ambiguous encodings
    "sub twice": (lambda: token(_twice("sub", "admin")), UNIQUE),
    "roles twice": (lambda: token(_twice("roles", ["admin"])), UNIQUE),
    "alg twice": (lambda: signed(b'{"alg":"none",' + _header()[1:], _payload(), FIRST, "RS256"), UNIQUE),
    "kid twice": (lambda: signed(b'{"kid":"x",' + _header()[1:], _payload(), FIRST, "RS256"), UNIQUE),
    "payload a list": (lambda: token(b"[]"), "not a JSON object"),
    "payload no JSON": (lambda: token(b"sub=ana"), UNIQUE),
    "payload in UTF-16": (lambda: token(_payload().decode().encode("utf-16")), UNIQUE),
    "payload nested deeply": (lambda: token(b'{"a":' + b"[" * 2500 + b"]" * 2500 + b"}"), "the token's"),
    "header a list": (lambda: signed(b"[]", _payload(), FIRST, "RS256"), "not a JSON object"),
    "header no JSON": (lambda: signed(b"alg=none", _payload(), FIRST, "RS256"), UNIQUE),
    # not a token
    "empty": (lambda: "", NO_JWT),
    "one part": (lambda: "abc", NO_JWT),
    "five parts, as if encrypted": (lambda: "a.b.c.d.e", NO_JWT),
    "NUL in the header": (lambda: "ey\x00.a.b", NO_JWT),
    "no ASCII": (lambda: "\u00e9\u00e9\u00e9\u00e9.a.b", NO_JWT),
    "blanks within": (lambda: token().replace("e", "    e", 1), NO_JWT),
    "a megabyte": (lambda: token() + "A" * 1_000_000, "longer than"),
    "a megabyte of header": (lambda: "A" * 1_000_000 + ".a.b", "longer than"),
}
