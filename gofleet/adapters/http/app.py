"""The REST API as one ASGI application, and its OpenAPI document."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

from litestar import Litestar, Request, Response, Router, asgi, route
from litestar.constants import OPENAPI_JSON_HANDLER_NAME
from litestar.di import Provide
from litestar.enums import HttpMethod
from litestar.handlers import ASGIRouteHandler, HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import License, Tag
from litestar.routes import BaseRoute
from litestar.types import ControllerRouterHandler, Receive, Scope, Send

from gofleet import __version__
from gofleet.adapters.http.asgi import ASGIApp
from gofleet.adapters.http.auth import PUBLIC_ROUTE, Authenticator, Caller, caller_of
from gofleet.adapters.http.docs import DOCS_ROUTES, get_problem, get_root, protected_resource_route
from gofleet.adapters.http.error_handler import problem_response
from gofleet.adapters.http.fast_path import with_fast_path
from gofleet.adapters.http.health import PROBE_PATHS
from gofleet.adapters.http.load_shedding import LoadShedder
from gofleet.adapters.http.middleware import RequestCounter, RequestMiddleware
from gofleet.adapters.http.openapi import DocumentPlugin, openapi_of
from gofleet.adapters.http.query import check_declared
from gofleet.adapters.http.request_limits import BODY_BYTES_MAX, BODY_SECONDS
from gofleet.adapters.http.routes.drivers import DRIVER_ROUTES, UpdatePositionCall
from gofleet.adapters.http.routes.events import EVENT_ROUTES
from gofleet.adapters.http.routes.order_changes import ChangeOrderCall, patch_order
from gofleet.adapters.http.routes.orders import (
    ORDER_ROUTES,
    CreateOrderCall,
    DispatchManuallyCall,
    FindCandidatesCall,
    TransitionCall,
)
from gofleet.adapters.http.routes.outbox import OUTBOX_ROUTES
from gofleet.adapters.http.routes.parked import PARKED_ROUTES
from gofleet.adapters.http.routes.slo import get_slo
from gofleet.adapters.http.sse import EventStreams
from gofleet.adapters.http.validation import StrictRequest
from gofleet.ports import Drivers, FailedEvents, Fleet, History, Indicators, Orders, Parked

PREFIX = "/api/v1"
DESCRIPTION = """\
Bodies are JSON; unknown fields and unknown query parameters are rejected (422). Every error is
`application/problem+json` (RFC 9457): programs match on its `type`, and `GET` of that URL documents it. Ids are 1 to 64
characters of `A-Z a-z 0-9 . _ : -`, but not `.` or `..`. Lists are paginated: repeat the request with `cursor` as long
as the response has a `next_cursor`. Times are UTC, in RFC 3339."""
TAGS = {
    "orders": "Delivery orders from creation to delivery. Every request can be repeated safely.",
    "drivers": "Drivers, their duty and their positions.",
    "parked messages": "Messages that could not be processed (dead-letter storage): inspect and replay them.",
    "outbox": "Events that the broker rejected permanently.",
    "operations": "Service level indicators and API metadata.",
    "problems": "Documentation of the problem types.",
}


@dataclass(frozen=True)
class Api:
    """Dependencies of the routes; handlers receive them as parameters of the same names.

    `operations` serves the health routes only: metrics do not belong on the API's port.
    """

    orders: Orders
    create_order: CreateOrderCall
    change_order: ChangeOrderCall
    cancel_order: TransitionCall
    deliver_order: TransitionCall
    dispatch_manually: DispatchManuallyCall
    redispatch_order: TransitionCall
    find_candidates: FindCandidatesCall
    history: History
    streams: EventStreams
    drivers: Drivers
    update_position: UpdatePositionCall
    parked: Parked
    failed_events: FailedEvents
    fleet: Fleet
    indicators: Indicators
    operations: ASGIApp


DEPENDENCIES = tuple(field.name for field in fields(Api) if field.name != "operations")


def api_app(
    api: Api,
    *,
    body_bytes_max: int = BODY_BYTES_MAX,
    body_seconds: float = BODY_SECONDS,
    load_shedder: LoadShedder | None = None,
    allowed_hosts: Collection[str] = (),
    public_url: str = "",
    counter: RequestCounter | None = None,
    authenticator: Authenticator | None = None,
) -> ASGIApp:
    """The complete API. It needs no ASGI lifespan: the creator of the dependencies closes them.

    `allowed_hosts` are the accepted host names, empty = any; `public_url` is the one to publish; `counter` counts every
    response; without an `authenticator` every request is anonymous and unrestricted.
    """
    authenticator = authenticator or Authenticator()
    resource = protected_resource_route(authenticator.issuer, public_url, allowed_hosts)
    # Litestar's own middleware runs inside the routing and would miss requests that match no route.
    return RequestMiddleware(
        with_fast_path(litestar_app(api, authenticator, resource), api.create_order, api.deliver_order, authenticator),
        body_bytes_max=body_bytes_max,
        body_seconds=body_seconds,
        load_shedder=load_shedder,
        allowed_hosts=allowed_hosts,
        authenticator=authenticator,
        on_response=(counter or RequestCounter()).count,
    )


def litestar_app(
    api: Api, authenticator: Authenticator | None = None, resource: HTTPRouteHandler | None = None
) -> Litestar:
    """The routes, for requests that have passed the middleware."""
    authenticator = authenticator or Authenticator()
    resource = resource or protected_resource_route(authenticator.issuer)
    routes = Router(
        PREFIX,
        route_handlers=[
            _group("/orders", [*ORDER_ROUTES, patch_order, *EVENT_ROUTES], "orders"),
            _group("/parked", PARKED_ROUTES, "parked messages"),
            _group("/outbox", OUTBOX_ROUTES, "outbox"),
            _group("/drivers", DRIVER_ROUTES, "drivers"),
            get_slo,
            *DOCS_ROUTES,
        ],
        before_request=check_declared,
        dependencies={
            "caller": Provide(_caller, sync_to_thread=False),
            **{name: Provide(_constant(getattr(api, name)), sync_to_thread=False) for name in DEPENDENCIES},
        },
    )
    return Litestar(
        [routes, get_root, get_problem, resource, _health(api.operations)],
        request_class=StrictRequest,
        guards=[authenticator.guard],
        # LimitedBody limits the body, and lets the client finish sending so that it reads the response.
        request_max_body_size=None,
        exception_handlers={Exception: problem_response},
        logging_config=None,
        openapi_config=_openapi(),
    )


def _group(path: str, handlers: Sequence[HTTPRouteHandler], tag: str) -> Router:
    return Router(path, route_handlers=[*options_routes(handlers), *handlers], tags=[tag])


def _constant(value: object) -> Callable[[], object]:
    return lambda: value


def _caller(request: Request[Any, Any, Any]) -> Caller:
    return caller_of(request.scope)


def _health(operations: ASGIApp) -> ASGIRouteHandler:
    @asgi(PROBE_PATHS, copy_scope=False, opt=PUBLIC_ROUTE)
    async def health(scope: Scope, receive: Receive, send: Send) -> None:
        await operations(scope, receive, send)

    return health


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="GoFleet",
        version=__version__,
        summary="Delivery orders, each dispatched to the nearest free driver.",
        description=DESCRIPTION,
        license=License("MIT", identifier="MIT"),
        tags=[Tag(name, description=text) for name, text in TAGS.items()],
        use_handler_docstrings=True,
        render_plugins=[DocumentPlugin(path="/openapi.json")],
        openapi_router=_DocumentOnly(
            PREFIX, route_handlers=[], before_request=check_declared, include_in_schema=False, opt=PUBLIC_ROUTE
        ),
    )


class _DocumentOnly(Router):
    """Registers the document only: Litestar would serve an HTML page for every other path below the prefix."""

    def register(self, value: ControllerRouterHandler) -> list[BaseRoute]:
        if isinstance(value, HTTPRouteHandler) and value.name == OPENAPI_JSON_HANDLER_NAME:
            return super().register(value)
        return []


def options_routes(handlers: Sequence[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """An OPTIONS handler for each path of `handlers`.

    Litestar's own one lists only the methods of one handler when a path has several.
    """
    allowed: dict[str, set[str]] = defaultdict(lambda: {HttpMethod.OPTIONS.value})
    for handler in handlers:
        for path in handler.paths:
            allowed[path] |= {str(method) for method in handler.http_methods}
            if HttpMethod.GET in handler.http_methods:
                allowed[path].add(HttpMethod.HEAD.value)  # the middleware passes it as GET
    return [_options(path, ", ".join(sorted(methods))) for path, methods in sorted(allowed.items())]


def _options(path: str, methods: str) -> HTTPRouteHandler:
    @route(path, http_method=[HttpMethod.OPTIONS], status_code=204, include_in_schema=False, opt=PUBLIC_ROUTE)
    async def options() -> Response[None]:
        return Response(None, status_code=204, headers={"Allow": methods})

    return options


def openapi_document() -> dict[str, Any]:
    """The OpenAPI 3.1 document of all routes, generated without any dependency."""
    no_dependencies = cast("Any", dict.fromkeys(field.name for field in fields(Api)))
    return openapi_of(litestar_app(Api(**no_dependencies)))
