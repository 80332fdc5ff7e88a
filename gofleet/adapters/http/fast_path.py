"""Fast path of the two hot routes: creating and delivering an order without the framework.

Litestar's dependency injection, argument models and response objects cost more CPU than everything else that the API
does for an order. In one process, behind the middleware and without a database, creating an order takes 38 instead of
241 microseconds of CPU and delivering one 38 instead of 220 (medians of five runs, 2026-11-30, on 3552e21; the fast
path came with 42667da). Re-measure with `just bench ingest`, with and without `with_fast_path` in `api_app`.

Requests and responses are identical to the byte; a request with anything unusual goes to the framework, which owns the
routes. tests/roles/test_fast_path.py compares both for a table of requests.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, cast

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from loguru import logger

from gofleet.adapters.http.asgi import ASGIApp, Receive, Scope, Send, header, respond
from gofleet.adapters.http.auth import Authenticator
from gofleet.adapters.http.error_handler import send_problem
from gofleet.adapters.http.load_shedding import has_body
from gofleet.adapters.http.query import check_declared
from gofleet.adapters.http.routes.orders import (
    CreateOrderCall,
    OrderResponse,
    TransitionCall,
    create,
    transition_response,
)
from gofleet.adapters.http.schemas.orders import NewOrder
from gofleet.adapters.http.validation import decode_body, parse_idempotency_key
from gofleet.domain.values import IDENTIFIER

CREATE_ROUTE = "/api/v1/orders"
DELIVER_PREFIX, DELIVER_SUFFIX = f"{CREATE_ROUTE}/", "/deliver"
DELIVER_ROUTE = f"{DELIVER_PREFIX}{{order_id}}{DELIVER_SUFFIX}"
JSON = "application/json"
LAYER_HOOKS = (
    "guards",
    "middleware",
    "before_request",
    "after_request",
    "after_response",
    "response_headers",
    "response_cookies",
    "cache_control",
    "etag",
)
"""What each layer of a Litestar route (application, router, handler) can add to its requests and responses."""
APP_HOOKS = ("cors_config", "csrf_config", "compression_config", "allowed_hosts", "before_send", "after_exception")
_encoder = msgspec.json.Encoder()


def with_fast_path(
    app: Litestar, create_order: CreateOrderCall, deliver_order: TransitionCall, authenticator: Authenticator
) -> ASGIApp:
    """`app` behind the fast path.

    `app` alone if it has a guard, a middleware or another hook that the fast path would bypass: an addition to the
    application costs speed rather than going unnoticed.
    """
    framework = cast("ASGIApp", app)
    if bypassed := _bypassed_hooks(app, authenticator):
        logger.bind(hooks=sorted(bypassed)).warning("fast path disabled: the application has hooks that it bypasses")
        return framework
    return FastPath(framework, create_order, deliver_order, authenticator)


class FastPath:
    """Serves `POST /api/v1/orders` and `POST /api/v1/orders/{order_id}/deliver`; `framework` serves the rest."""

    def __init__(
        self,
        framework: ASGIApp,
        create_order: CreateOrderCall,
        deliver_order: TransitionCall,
        authenticator: Authenticator | None = None,
    ) -> None:
        self._framework = framework
        self._authenticator = authenticator or Authenticator()
        self._create_order = create_order
        self._deliver_order = deliver_order

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _is_create(scope):
            scope["path_template"] = CREATE_ROUTE
            await _respond(scope, send, self._create(scope, receive))
        elif order_id := _delivered_order_id(scope):
            scope["path_template"] = DELIVER_ROUTE
            await _respond(scope, send, self._deliver(scope, order_id))
        else:
            await self._framework(scope, receive, send)

    async def _create(self, scope: Scope, receive: Receive) -> OrderResponse:
        caller = await self._authenticator.authenticate(scope, "createOrder")
        body = decode_body(await _read_body(receive), NewOrder)
        return await create(body, parse_idempotency_key(scope), caller, self._create_order)

    async def _deliver(self, scope: Scope, order_id: str) -> OrderResponse:
        caller = await self._authenticator.authenticate(scope, "deliverOrder")
        order = await self._deliver_order(order_id, by=caller.actor, owner=caller.owner)
        return transition_response(order)


def _bypassed_hooks(app: Litestar, authenticator: Authenticator) -> set[str]:
    """Hooks of the two routes that the fast path does not run: all but the authenticator's guard and the check of
    parameters and bodies, which have nothing to refuse here."""
    known: list[tuple[str, Any]] = [("guards", [authenticator.guard]), ("before_request", check_declared)]
    present = [
        (hook, value)
        for route in (CREATE_ROUTE, DELIVER_ROUTE)
        for layer in _post_handler(app, route).ownership_layers
        for hook in LAYER_HOOKS
        if (value := getattr(layer, hook, None))
    ]
    return {hook for hook, value in present if (hook, value) not in known} | {
        hook for hook in APP_HOOKS if getattr(app, hook)
    }


def _post_handler(app: Litestar, path: str) -> HTTPRouteHandler:
    (route,) = (route for route in app.routes if isinstance(route, HTTPRoute) and route.path_format == path)
    return route.route_handler_map["POST"][0]


async def _respond(scope: Scope, send: Send, pending: Awaitable[OrderResponse]) -> None:
    try:
        response = await pending
    except Exception as error:  # the same handling as by the framework's exception handler
        await send_problem(send, error, scope["state"]["request_id"])
    else:
        await respond(send, response.status, JSON, _encoder.encode(response.view), *response.headers.items())


def _is_create(scope: Scope) -> bool:
    """Whether the request creates an order in the usual form: JSON with a declared length, no query."""
    return (
        _is_plain_post(scope)
        and scope["path"] == CREATE_ROUTE
        and header(scope, b"content-type") == JSON
        and header(scope, b"content-encoding") is None
        and (header(scope, b"content-length") or "0") != "0"
    )


def _delivered_order_id(scope: Scope) -> str | None:
    """The order's id if the request delivers an order regardless of its version."""
    if not _is_plain_post(scope) or has_body(scope) or header(scope, b"if-match") is not None:
        return None
    order_id = scope["path"].removeprefix(DELIVER_PREFIX).removesuffix(DELIVER_SUFFIX)
    path = f"{DELIVER_PREFIX}{order_id}{DELIVER_SUFFIX}"
    return order_id if scope["path"] == path and IDENTIFIER.fullmatch(order_id) else None


def _is_plain_post(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["method"] == "POST" and not scope["query_string"]


async def _read_body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    return body
