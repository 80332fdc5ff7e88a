"""Where every request is asked who sends it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from gofleet.adapters.http.access import ANONYMOUS_CALLER, PUBLIC, Caller, admitted
from gofleet.adapters.http.asgi import Scope
from gofleet.adapters.http.rate_limit import RateLimits
from gofleet.domain.errors import Unauthenticated
from gofleet.domain.principal import Principal

Authenticate = Callable[[str], Awaitable[Principal]]
"""Who a token is of. `Unauthenticated`, `Unavailable`."""
SCHEME = "bearer"


class Authenticator:
    """Without `authenticate` everybody may do everything; without `limits`, as often as they like. `issuer` is whom to
    ask for a token."""

    def __init__(
        self, authenticate: Authenticate | None = None, limits: RateLimits | None = None, issuer: str | None = None
    ) -> None:
        self.issuer = issuer
        self._authenticate = authenticate
        self._limits = limits

    @property
    def auth_required(self) -> bool:
        """Whether anybody is asked who they are."""
        return self._authenticate is not None

    async def authenticate(self, scope: Scope, operation: str) -> Caller:
        """Whoever asks for `operation`, if they may. `RateLimitExceeded`, `Unauthenticated`, `Forbidden`,
        `Unavailable`."""
        limits = self._limits
        if limits is not None:
            limits.check(scope)
        if self._authenticate is None:
            if limits is not None:
                await limits.take_for_peer(scope)
            return ANONYMOUS_CALLER
        try:
            principal = await self._authenticate(token_of(scope))
        except Unauthenticated:
            if limits is not None:
                await limits.take_for_peer(scope)
            raise
        if limits is not None:
            await limits.take_for(principal, scope)
        return admitted(principal, operation)

    async def guard(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """As Litestar calls it, before it looks at anything else of the request."""
        if not handler.opt.get(PUBLIC):
            operation = getattr(handler, "operation_id", None)
            scope = cast("Scope", connection.scope)
            scope["state"]["caller"] = await self.authenticate(scope, str(operation))


def caller_of(scope: Any) -> Caller:
    """Whoever came in by the guard."""
    return scope["state"]["caller"]


def token_of(scope: Scope) -> str:
    """The bearer token (RFC 6750, section 2.1). `Unauthenticated` without one, or with several."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if not given:
        raise Unauthenticated("there is no Authorization header", given=False)
    scheme, _, token = given[0].decode("latin-1").partition(" ")
    if len(given) > 1 or scheme.lower() != SCHEME or not (token := token.strip()):
        raise Unauthenticated("the Authorization header is not one bearer token")
    return token
