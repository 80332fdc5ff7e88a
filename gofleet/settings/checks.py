"""Checks of settings against each other, and against what is safe in production."""

from __future__ import annotations

import ssl
from collections.abc import Collection, Iterator
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from gofleet.settings.group import SettingsError
from gofleet.settings.groups import Settings

AUTHORITIES = ("AUTH_CA", "GRPC_TLS_CA", "DB_SSLROOTCERT", "RABBITMQ_TLS_CA", "REDIS_TLS_CA")
SYSTEM = "system"
"""For libpq: the authorities that the system trusts."""
KNOWN_PASSWORDS = frozenset(
    """
    root guest admin administrator postgres postgresql rabbitmq rabbit redis valkey gofleet relay worker fleet api
    user test demo default pass password passwd passw0rd p@ssw0rd p@ssword password1 password123 secret
    changeme change-me change_me changeit changethis replaceme todo none null example
    123 1234 12345 123456 1234567 12345678 123456789 1234567890 111111 000000 abc123 qwerty letmein welcome
    """.split()  # noqa: SIM905  a list of one a line is three times as long
)
"""Commonly guessed passwords in lower case, including the defaults of the settings and of compose.yaml, and what stands
in templates for one."""


def wrong_together(settings: Settings) -> Iterator[SettingsError]:
    """Errors that only several settings together show."""
    worker, fleet = settings.worker, settings.fleet
    yield from _demand(
        worker.lease_seconds > worker.deadline_seconds,
        "WORKER_LEASE_SECONDS is wrong",
        f"{worker.lease_seconds:g} is not more than WORKER_DEADLINE_SECONDS = {worker.deadline_seconds:g}",
        "a lease must outlive the attempt that it protects",
    )
    yield from _demand(
        worker.prefetch >= worker.concurrency,
        "WORKER_PREFETCH is wrong",
        f"{worker.prefetch} is less than WORKER_CONCURRENCY = {worker.concurrency}",
        "twice the concurrency is a good value",
    )
    yield from _demand(
        settings.postgres.answer_timeout_seconds * 1000 > settings.postgres.statement_timeout_ms,
        "DB_ANSWER_TIMEOUT_SECONDS is wrong",
        f"{settings.postgres.answer_timeout_seconds:g} s is not more than DB_STATEMENT_TIMEOUT_MS",
        "the server ends a long statement by itself, and must have the time to",
    )
    yield from _demand(
        settings.relay.inbox_keep_days >= settings.relay.outbox_keep_days,
        "INBOX_KEEP_DAYS is wrong",
        f"{settings.relay.inbox_keep_days:g} is less than OUTBOX_KEEP_DAYS = {settings.relay.outbox_keep_days:g}",
        "an event that can still be published must be known to have been handled",
    )
    yield from _demand(
        (fleet.depot_lat is None) == (fleet.depot_lng is None),
        "half a depot",
        "only one of DEPOT_LAT and DEPOT_LNG is set",
        "set both or neither",
    )
    tls = (fleet.tls_authority, fleet.tls_certificate, fleet.tls_key)
    yield from _demand(
        all(tls) or not any(tls),
        "TLS for gRPC is half set",
        "of GRPC_TLS_CA, GRPC_TLS_CERT and GRPC_TLS_KEY some are set and some are empty",
        "set all three or none; `gofleet certs` makes some for development",
    )
    yield from _demand(
        fleet.tls == "auto" or not any(tls),
        "GRPC_TLS is wrong",
        f"off from {settings.sources['GRPC_TLS']}, but certificates for gRPC are set",
        "set it to auto, or unset GRPC_TLS_CA, GRPC_TLS_CERT and GRPC_TLS_KEY",
    )
    yield from _demand(
        "%2F" not in settings.broker.vhost,
        "RABBITMQ_VHOST is wrong",
        f"{settings.broker.vhost!r} from {settings.sources['RABBITMQ_VHOST']}: the AMQP library reads %2F as /",
        "write the name as it is, not encoded as in a URL; a virtual host with %2F in its name needs another name",
    )
    yield from _files(settings)
    url = settings.web.public_url
    yield from _demand(
        not url or _is_base_url(url),
        "WEB_PUBLIC_URL is wrong",
        f"{url!r} from {settings.sources['WEB_PUBLIC_URL']} is no http address without a query",
        "it must be such as https://gofleet.example.com",
    )
    try:
        _ = settings.auth.proxies
    except ValueError as error:
        yield SettingsError(
            "TRUSTED_PROXIES is wrong", str(error), "it must be addresses or networks, such as 10.0.0.0/8"
        )
    for name in ("role", "scope"):
        try:
            getattr(settings.auth, f"{name}_paths")
        except ValueError as error:
            fix = 'it must be claims with commas between, such as roles,realm_access.roles,"https://a.example/roles"'
            yield SettingsError(f"AUTH_{name.upper()}_CLAIMS is wrong", str(error), fix)
    try:
        tiers = settings.broker.tiers
    except ValueError:
        tiers = ()
    yield from _demand(
        bool(tiers) and all(tier > 0 for tier in tiers),
        "RETRY_TIERS_SECONDS is wrong",
        f"{settings.broker.retry_tiers_seconds!r} from {settings.sources['RETRY_TIERS_SECONDS']}",
        "it must be whole seconds with commas between, such as 1,5,30,120",
    )


def unsafe(settings: Settings, roles: Collection[str]) -> Iterator[SettingsError]:
    """Errors of running `roles` with these settings: open access in production, or access for no client at all."""
    production = settings.general.environment == "production"
    if "api" in roles and settings.auth.mode == "oidc":
        yield from _authentication(settings, production)
    if production:
        for name, why in unsafe_passwords(settings, roles):
            yield SettingsError(f"{name} is not safe in production", why, "choose one of your own")
        yield from _plain_grpc(settings, roles)


def unsafe_passwords(settings: Settings, roles: Collection[str]) -> Iterator[tuple[str, str]]:
    """The passwords that `roles` use and any caller could guess: the setting, and why. A socket of this machine needs
    none: the kernel tells PostgreSQL the user."""
    postgres, redis, broker = settings.postgres, settings.redis, settings.broker
    limited, rabbit = settings.auth.limits == "on", settings.general.broker == "rabbitmq"
    logins = dict[str, tuple[str, str]]()
    if postgres.password or not postgres.host.startswith("/"):
        logins["DB_PASSWORD"] = (postgres.user, postgres.password)
    if {"worker", "fleet"} & set(roles) or ("api" in roles and limited) or ("relay" in roles and not rabbit):
        logins["REDIS_PASSWORD"] = (redis.user, redis.password)
    if rabbit and set(roles) - {"api"}:
        logins["RABBITMQ_PASSWORD"] = (broker.user, broker.password)
    for name, (user, password) in logins.items():
        source, folded = settings.sources[name], password.strip().casefold()
        if not folded:
            yield name, f"it is empty, from {source}"
        elif folded in KNOWN_PASSWORDS or folded == user.casefold():
            yield name, f"the one from {source} is commonly guessed"


def _files(settings: Settings) -> Iterator[SettingsError]:
    fleet, postgres = settings.fleet, settings.postgres
    named = {
        "AUTH_CA": settings.auth.authority,
        "GRPC_TLS_CA": fleet.tls_authority,
        "GRPC_TLS_CERT": fleet.tls_certificate,
        "GRPC_TLS_KEY": fleet.tls_key,
        "DB_SSLROOTCERT": postgres.sslrootcert if postgres.sslrootcert != SYSTEM else "",
        "RABBITMQ_TLS_CA": settings.broker.tls_authority,
        "REDIS_TLS_CA": settings.redis.tls_authority,
    }
    for name, file in named.items():
        if not file:
            continue
        try:
            why = "" if b"-----BEGIN " in Path(file).read_bytes() else "it is no PEM file"
            if name in AUTHORITIES and not why:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
        except ssl.SSLError:
            why = "it holds no certificate that can be read"
        except OSError as error:
            why = error.strerror or type(error).__name__
        yield from _demand(
            not why,
            f"{name} is wrong",
            f"{file!r} from {settings.sources[name]}: {why}",
            "name a PEM file that this process may read",
        )


def _demand(holds: bool, what: str, why: str, fix: str) -> Iterator[SettingsError]:
    if not holds:
        yield SettingsError(what, why, fix)


def _authentication(settings: Settings, production: bool) -> Iterator[SettingsError]:
    auth, source = settings.auth, f"AUTH=oidc from {settings.sources['AUTH']}"
    if not auth.issuer:
        fix = "set it to your OpenID provider, or set AUTH=off to allow every request"
        yield SettingsError("AUTH_ISSUER is missing", f"{source}, so no token could be accepted", fix)
    addresses = {"AUTH_ISSUER": auth.issuer, "AUTH_KEYS_URL": auth.keys_url}
    for name, address in addresses.items() if production else ():
        if address and not is_https(address):
            why = f"{address!r} is not https: the issuer's keys could be replaced on the way"
            yield SettingsError(f"{name} is wrong", why, "in production it must be an https address")
    needed = {
        "AUTH_AUDIENCE": (auth.audiences, "tokens for other services are refused"),
        "AUTH_AUDIENCE_CLAIM": (auth.audience_claim, "tokens for other services are refused"),
        "AUTH_SUBJECT_CLAIM": (auth.subject_claim, "no client would have an id"),
        "AUTH_ROLE_CLAIMS": (auth.role_paths, "no client would have a role"),
        "AUTH_SCOPE_CLAIMS": (auth.scope_paths, "no token would have a scope"),
    }
    for name, (value, why) in needed.items():
        if not value:
            yield SettingsError(f"{name} is missing", f"{source}, and {why}", "set it")


def _is_base_url(address: str) -> bool:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return False
    plain = parts.scheme in {"http", "https"} and bool(parts.hostname) and address.isprintable() and " " not in address
    return plain and not (parts.query or parts.fragment or parts.username or parts.password)


def is_https(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" and bool(parts.hostname)


def _plain_grpc(settings: Settings, roles: Collection[str]) -> Iterator[SettingsError]:
    fleet = settings.fleet
    if fleet.tls_authority or fleet.tls == "off":
        return
    serves = {"GRPC_HOST": fleet.listen_host} if "fleet" in roles else {}
    calls = {"FLEET_HOST": fleet.host} if {"api", "worker"} & set(roles) else {}
    for name, host in (serves | calls).items():
        if not _is_loopback(host):
            why = f"{name}={host} is not this machine: any client in that network could register and find drivers"
            fix = "set GRPC_TLS_CA, GRPC_TLS_CERT and GRPC_TLS_KEY; or GRPC_TLS=off, if only the roles reach that port"
            yield SettingsError("gRPC without TLS is not safe in production", why, fix)
            return


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
