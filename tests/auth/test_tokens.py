"""Every forged token is refused with the expected error, and without any one of the checks one is accepted."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gofleet.adapters.oidc import tokens
from gofleet.adapters.oidc.keys import JwksCache, Key
from gofleet.adapters.oidc.tokens import TokenRules, TokenVerifier
from gofleet.domain.errors import Unauthenticated
from gofleet.domain.principal import Principal, Role, Scope
from tests.auth.attacks import ROWS
from tests.auth.mint import AUDIENCE, CURVE, FIRST, ISSUER, MISSING, claims, token

ROLE_CLAIMS = (("roles",), ("resource_access", AUDIENCE, "roles"))
RULES = TokenRules(ISSUER, frozenset({AUDIENCE}), role_claims=ROLE_CLAIMS)
KEYS: dict[str, Key] = {"first": FIRST, "curve": CURVE}
SOURCE = Path(tokens.__file__).read_text(encoding="utf-8")


async def _published() -> Mapping[str, Key]:
    return KEYS


def a_reader(clock: Callable[[], float] = time.time, rules: TokenRules = RULES) -> TokenVerifier:
    return TokenVerifier(JwksCache(_published), rules, clock)


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
async def test_a_forged_token_is_refused_with_the_expected_error(row: tuple[Callable[[], str], str]) -> None:
    forge, why = row
    with pytest.raises(Unauthenticated) as refused:
        await a_reader().principal(forge())
    assert why in str(refused.value)


@pytest.mark.parametrize(
    "valid",
    [
        pytest.param(token, id="RFC 9068"),
        pytest.param(lambda: token(typ="application/at+jwt"), id="full media type"),
        pytest.param(lambda: token(typ="AT+JWT"), id="type in capitals"),
        pytest.param(lambda: token(key=CURVE), id="by a curve"),
        pytest.param(lambda: token(claims(typ="Bearer"), typ="JWT"), id="Keycloak"),
        pytest.param(lambda: token(claims(aud=["account", AUDIENCE])), id="several audiences"),
        pytest.param(lambda: token(claims(exp=int(time.time()) - 20, iat=int(time.time()) - 300)), id="just over"),
        pytest.param(lambda: token(claims(iat=int(time.time()) + 20)), id="of a clock that is ahead"),
        pytest.param(lambda: token(claims(nbf=int(time.time()) + 20)), id="valid at once by that clock"),
        pytest.param(lambda: token(claims(exp=int(time.time()) + 3600)), id="as long-lived as may be"),
        pytest.param(lambda: token(claims(exp=time.time() + 300.5, iat=time.time() - 0.5)), id="with fractions"),
    ],
)
async def test_a_valid_token_is_accepted(valid: Callable[[], str]) -> None:
    assert (await a_reader().principal(valid())).subject == "ana"


async def test_subject_roles_and_scopes_are_read() -> None:
    payload = claims(
        roles=["driver", "offline_access", 7],
        resource_access={AUDIENCE: {"roles": ["dispatcher"]}, "account": {"roles": ["admin"]}},
        scope="openid orders:read email",
    )
    assert await a_reader().principal(token(payload)) == Principal(
        "ana", frozenset({Role.DRIVER, Role.DISPATCHER}), frozenset({Scope.ORDERS_READ}), "driver:ana"
    )


@pytest.mark.parametrize("roles", [None, "admin driver", {"admin": True}, [["admin"]], 1])
async def test_roles_that_are_neither_a_name_nor_a_list_of_names_are_ignored(roles: object) -> None:
    principal = await a_reader().principal(token(claims(roles=roles, resource_access=roles, scope=roles)))
    assert not principal.roles
    assert principal.actor == "nobody:ana"


@pytest.mark.parametrize(
    ("subject", "id"),
    [
        ("ana", "ana"),
        ("0b0bd8b1-7c1d-4c0a-9e0e-1d6f4d1f0b7e", "0b0bd8b1-7c1d-4c0a-9e0e-1d6f4d1f0b7e"),
        ("X-ana", "X-ana"),
        ("auth0|507f1f77bcf86cd799439020", "x-bae711141f78e7d1877321e6dd4a3213"),
        ("ana@example.com", "x-8e43ca37701228e74983efdbd0cff5c1"),
        ("josé@example.com", "x-b0a53cf19e34d05b57bced7365c6b00d"),
        ("x-8e43ca37701228e74983efdbd0cff5c1", "x-b9915f7709665be21340738bfec15781"),
        ("x-", "x-c8b60efc6045b03bbfde1b0407abc61d"),
        ("ana' OR '1'='1", "x-e9febbd6c6b1b4fe7f3ae1da7f7ae483"),
        ("ana\n", "x-0155306c6ffd381de061deaccb9cc571"),
        ("a" * 65, "x-635361c48bb9eab14198e76ea8ab7f1a"),
        ("..", "x-5ec1f7e700f37c3d0b2981d04855fc34"),
    ],
)
async def test_a_subject_is_its_own_id_or_a_hash(subject: str, id: str) -> None:
    assert (await a_reader().principal(token(claims(sub=subject)))).subject == id


@pytest.mark.parametrize(
    ("changed", "roles", "scopes"),
    [
        ({"roles": "driver"}, {Role.DRIVER}, set[Scope]()),
        ({"roles": ["driver"], "scp": "orders:read operations"}, {Role.DRIVER}, {Scope.ORDERS_READ, Scope.OPERATIONS}),
        ({"scp": ["orders:read", "openid"]}, set[Role](), {Scope.ORDERS_READ}),
        ({"scope": ["orders:read", 7]}, set[Role](), {Scope.ORDERS_READ}),
        ({"scope": "orders:read", "scp": ["operations"]}, set[Role](), {Scope.ORDERS_READ, Scope.OPERATIONS}),
    ],
)
async def test_roles_and_scopes_are_a_text_or_a_list(
    changed: dict[str, object], roles: set[Role], scopes: set[Scope]
) -> None:
    principal = await a_reader().principal(token(claims(**{"roles": MISSING, "scope": MISSING} | changed)))
    assert (principal.roles, principal.scopes) == (roles, scopes)


def test_rules_without_an_audience_are_refused() -> None:
    with pytest.raises(ValueError, match="no audience"):
        TokenRules(ISSUER, frozenset())


async def test_a_cached_token_expires() -> None:
    now = time.time()
    times = iter([now, now, now + 329, now + 331, now + 331, now + 331])
    reader, given = a_reader(lambda: next(times)), token()
    assert await reader.principal(given) is await reader.principal(given)
    with pytest.raises(Unauthenticated, match="claims"):
        await reader.principal(given)


async def test_cached_tokens_of_a_withdrawn_key_are_refused() -> None:
    published: dict[str, Key] = dict(KEYS)
    now = 0.0

    async def fetch() -> Mapping[str, Key]:
        return dict(published)

    keys = JwksCache(fetch, clock=lambda: now)
    reader, given = TokenVerifier(keys, RULES), token()
    assert (await reader.principal(given)).subject == "ana"
    del published["first"]
    now = 601.0
    await reader.principal(given)  # cached, it starts a refresh beside the request
    await keys.wait_settled()
    with pytest.raises(Unauthenticated, match="issuer does not have"):
        await reader.principal(given)


async def test_the_token_cache_is_bounded() -> None:
    reader = a_reader(rules=TokenRules(ISSUER, frozenset({AUDIENCE}), remembered=3))
    for number in range(10):
        await reader.principal(token(claims(sub=f"ana-{number}")))
    assert len(reader._cache) == 3  # pyright: ignore[reportPrivateUsage]


REMOVED = {
    "size": ("if len(token) > TOKEN_CHARS_MAX:", "if False:"),
    "three parts": ("if len(parts) != 3:", "if False:"),
    "forbidden headers": ("if any(name in header for name in FORBIDDEN):", "if False:"),
    "kid": ("if not isinstance(kid, str) or not 0 < len(kid) <= KID_CHARS_MAX:", "if False:"),
    "algorithm": ('if not isinstance(algorithm, str) or algorithm not in {"RS256", "ES256"}:', "if False:"),
    "the key's own algorithm": ('if algorithm != ("RS256" if isinstance(key, RSAKey) else "ES256"):', "if False:"),
    "type": ("if kind not in ACCESS_TYPES and not (", "if False and not ("),
    "plain type": ("(kind in PLAIN_TYPES and _is_marked", "(True and _is_marked"),
    "unique names": ("if len(unique) != len(pairs):", "if False:"),
    "no NaN": ("parse_constant=_reject_constant", "parse_constant=lambda word: 2**31"),
    "issuer": ('"iss": {"essential": True, "value": rules.issuer},', ""),
    "audience": ('rules.audience_claim: {"essential": True, "values": sorted(rules.audiences)},', ""),
    "expiry is there": ('"exp": {"essential": True},', ""),
    "issue is there": ('"iat": {"essential": True},', ""),
    "subject is there": ('rules.subject_claim: {"essential": True},', ""),
    "all claims": ("self._claims.validate(claims)", "pass"),
    "times": ("if name in claims and not -SECONDS_MAX < claims[name] < SECONDS_MAX:", "if False:"),
    "longest life": ('if claims["exp"] - claims["iat"] > self._rules.most_seconds:', "if False:"),
    "subject's form": ("return principal_id(subject)", "return subject"),
    "strict base64": ("validate=True", "validate=False"),
    "objects only": ("if not isinstance(value, dict):", "if False:"),
    "leeway": ("LEEWAY_SECONDS = 30", "LEEWAY_SECONDS = 90"),
}
"""Each check in the source, and its replacement in the mutant."""


@pytest.mark.parametrize("check", REMOVED.values(), ids=list(REMOVED))
async def test_each_check_is_needed(monkeypatch: pytest.MonkeyPatch, check: tuple[str, str]) -> None:
    here, gone = check
    assert SOURCE.count(here) == 1
    mutant: Any = ModuleType("gofleet.adapters.oidc.tokens_without_a_check")
    monkeypatch.setitem(sys.modules, mutant.__name__, mutant)  # dataclasses look their module up
    exec(compile(SOURCE.replace(here, gone), "<mutant>", "exec"), mutant.__dict__)  # noqa: S102
    assert [name for name, row in ROWS.items() if not await _refused(mutant, *row)]


async def _refused(mutant: Any, forge: Callable[[], str], why: str) -> bool:
    """Whether the mutant refuses the token with the expected error."""
    rules = mutant.TokenRules(ISSUER, frozenset({AUDIENCE}))
    try:
        await mutant.TokenVerifier(JwksCache(_published), rules).principal(forge())
    except Unauthenticated as error:
        return why in str(error)
    except Exception:  # an unexpected error would be a response of 500
        return False
    return False
