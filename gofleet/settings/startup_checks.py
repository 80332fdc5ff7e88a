"""What keeps a process from starting although each setting could be meant: it would let in anybody, or nobody."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from gofleet.settings.errors import SettingsError
from gofleet.settings.groups import Settings

KNOWN_PASSWORDS = frozenset(
    {"root", "guest", "admin", "postgres", "password", "secret", "gofleet", "redis", "relay", "worker", "fleet", "api"}
)
"""Those that anybody tries first, our own defaults and those of compose.yaml among them."""


def unsafe(settings: Settings, roles: Collection[str]) -> Iterator[SettingsError]:
    """What is wrong with playing those roles by these settings."""
    production = settings.general.environment == "production"
    if "api" in roles and settings.auth.mode == "oidc":
        yield from _let_in(settings, production)
    if production:
        yield from _known_passwords(settings, roles)


def _let_in(settings: Settings, production: bool) -> Iterator[SettingsError]:
    auth, said = settings.auth, f"AUTH=oidc from {settings.sources['AUTH']}"
    if not auth.issuer:
        fix = "set it to your OpenID provider, or say AUTH=off to let anybody do anything"
        yield SettingsError("AUTH_ISSUER is missing", f"{said}, so there is nobody whose tokens could be taken", fix)
    elif production and not auth.issuer.startswith("https://"):
        why = f"{auth.issuer!r} is not https: whoever is between us and it could choose the keys"
        yield SettingsError("AUTH_ISSUER is wrong", why, "in production the issuer must have an https address")
    if not auth.audience:
        yield SettingsError("AUTH_AUDIENCE is missing", f"{said}, and tokens for anybody are for nobody", "set it")
    if not auth.role_paths:
        yield SettingsError("AUTH_ROLE_CLAIMS is missing", f"{said}, and nobody would have a role", "set it")


def _known_passwords(settings: Settings, roles: Collection[str]) -> Iterator[SettingsError]:
    passwords = {"DB_PASSWORD": settings.postgres.password, "REDIS_PASSWORD": settings.redis.password}
    if settings.general.broker == "rabbitmq" and set(roles) - {"api"}:
        passwords["RABBITMQ_PASSWORD"] = settings.broker.password
    for name, password in passwords.items():
        if password in KNOWN_PASSWORDS:
            why = f"the one from {settings.sources[name]} is one that everybody tries first"
            yield SettingsError(f"{name} is not safe in production", why, "choose one of your own")
