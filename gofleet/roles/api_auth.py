"""Wiring of the API's authentication and rate limits."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from loguru import logger

from gofleet import parts
from gofleet.adapters.http.auth import Authenticate, Authenticator
from gofleet.adapters.http.rate_limit import ClientAddresses, RateLimits, Rates
from gofleet.adapters.oidc.issuer import Issuer
from gofleet.adapters.oidc.keys import JwksCache, RefreshPolicy
from gofleet.adapters.oidc.tokens import TokenRules, TokenVerifier
from gofleet.adapters.redis.buckets import RedisBuckets
from gofleet.adapters.tls import client_tls_context
from gofleet.first_contact import ConfiguredServer, contacting
from gofleet.guards.limiter import Limiter, MemoryBuckets, Rate
from gofleet.process import Process
from gofleet.settings.auth import AuthSettings

WAITERS_DIVISOR = 8
"""Requests with unknown keys occupy at most 1/8 of WEB_MAX_REQUESTS while the issuer is slow."""


async def authenticator(process: Process) -> Authenticator:
    """The authenticator that the settings configure; its clients are closed with the process."""
    auth = process.settings.auth
    issuer = auth.issuer if auth.mode == "oidc" else None
    return Authenticator(await process.use(_authenticate), await process.use(_limits), issuer)


def token_rules(auth: AuthSettings) -> TokenRules:
    return TokenRules(
        auth.issuer,
        auth.audiences,
        audience_claim=auth.audience_claim,
        access_claims=auth.access_claims,
        subject_claim=auth.subject_claim,
        role_claims=auth.role_paths,
        scope_claims=auth.scope_paths,
        prefix=auth.name_prefix,
        most_seconds=auth.most_seconds,
    )


@asynccontextmanager
async def _authenticate(process: Process) -> AsyncGenerator[Authenticate | None]:
    """The verifier of access tokens; None when authentication is off."""
    auth = process.settings.auth
    if auth.mode == "off":
        production = process.settings.general.environment == "production"
        level = "WARNING" if production else "INFO"
        logger.log(level, "AUTH=off: every request is anonymous and unrestricted")
        yield None
        return
    issuer = Issuer(
        auth.issuer,
        keys_url=auth.keys_url,
        key_hosts=auth.trusted_key_hosts,
        timeout_seconds=auth.timeout_seconds,
        tls=client_tls_context(auth.authority) if auth.authority else None,
    )
    policy = RefreshPolicy(
        auth.keys_seconds,
        auth.keys_pause_seconds,
        keep_seconds=auth.keys_keep_seconds,
        waiters_max=max(process.settings.web.max_requests // WAITERS_DIVISOR, 1),
    )
    keys = JwksCache(issuer.keys, policy)
    server = ConfiguredServer(
        "The token issuer", auth.issuer, "AUTH_ISSUER", "AUTH_ISSUER, AUTH_KEYS_URL and AUTH_CA", "is not as configured"
    )
    try:
        async with process.keeping(contacting(server, issuer.keys)):
            yield TokenVerifier(keys, token_rules(auth)).principal
    finally:
        await keys.close()
        await issuer.close()


@asynccontextmanager
async def _limits(process: Process) -> AsyncGenerator[RateLimits | None]:
    """Rate limits; None when they are off. Without Redis each process counts by itself, so readiness does not depend
    on it."""
    auth = process.settings.auth
    if auth.limits == "off":
        yield None
        return
    rates = Rates(
        Rate(auth.peer_rate, auth.peer_burst),
        Rate(auth.person_rate, auth.person_burst),
        Rate(auth.staff_rate, auth.staff_burst),
    )
    await process.use(parts.redis_login)
    client = parts.a_redis(process.settings)
    shared = RedisBuckets(client, prefix=process.settings.general.key_prefix)
    limiter = Limiter(shared, MemoryBuckets())
    try:
        yield RateLimits(limiter, rates, ClientAddresses(auth.proxies))
    finally:
        await limiter.close()
        await client.aclose()
