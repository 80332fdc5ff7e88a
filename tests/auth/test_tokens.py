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
from tests.auth.mint import AUDIENCE, CURVE, FIRST, ISSUER, claims, token

RULES = TokenRules(ISSUER, AUDIENCE, (("roles",), ("resource_access", AUDIENCE, "roles")))
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


@pytest.mark.parametrize("roles", [None, "admin", {"admin": True}, [["admin"]], 1])
async def test_roles_that_are_not_a_list_of_names_are_ignored(roles: object) -> None:
    principal = await a_reader().principal(token(claims(roles=roles, resource_access=roles, scope=roles)))
    assert not principal.roles
    assert principal.actor == "nobody:ana"


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
    reader = a_reader(rules=TokenRules(ISSUER, AUDIENCE, remembered=3))
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
    "type": ("if not is_access and claims.get", "if False and claims.get"),
    "unique names": ("if len(unique) != len(pairs):", "if False:"),
    "no NaN": ("parse_constant=_reject_constant", "parse_constant=lambda word: 2**31"),
    "issuer": ('"iss": {"essential": True, "value": rules.issuer},', ""),
    "audience": ('"aud": {"essential": True, "value": rules.audience},', ""),
    "expiry is there": ('"exp": {"essential": True},', ""),
    "issue is there": ('"iat": {"essential": True},', ""),
    "subject is there": ('"sub": {"essential": True},', ""),
    "all claims": ("self._claims.validate(claims)", "pass"),
    "whole numbers": ("if name in claims and not _is_integer(claims[name]):", "if False:"),
    "longest life": ('if claims["exp"] - claims["iat"] > self._rules.most_seconds:', "if False:"),
    "subject's form": ("or not IDENTIFIER.fullmatch(claims[", "or not (claims["),
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
    rules = mutant.TokenRules(ISSUER, AUDIENCE)
    try:
        await mutant.TokenVerifier(JwksCache(_published), rules).principal(forge())
    except Unauthenticated as error:
        return why in str(error)
    except Exception:  # an unexpected error would be a response of 500
        return False
    return False
