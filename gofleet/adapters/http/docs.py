"""Documentation routes: the API reference page, the problem types, and the OAuth protected resource metadata."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec
from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from gofleet.adapters.http.asgi import Scope
from gofleet.adapters.http.auth import PUBLIC_ROUTE
from gofleet.adapters.http.fields import described
from gofleet.adapters.http.problem_types import PROBLEMS_PATH, ProblemType, problem_type_of_uri
from gofleet.adapters.http.problems import ResponseDoc, problem_responses
from gofleet.adapters.http.request_limits import is_known_host
from gofleet.domain.principal import Scope as TokenScope

STATIC = Path(__file__).parent / "static"
FILES = {
    "/docs": ("index.html", "text/html"),
    "/docs/page.css": ("page.css", "text/css"),
    "/docs/page.js": ("page.js", "text/javascript"),
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
RESOURCE_PATH = "/.well-known/oauth-protected-resource"


class ProblemTypeView(msgspec.Struct, frozen=True, kw_only=True):
    """A type of problem."""

    type: Annotated[str, described("The `type` of the problem.", ProblemType.ORDER_TAKEN.uri)]
    title: Annotated[str, described("Short summary.", ProblemType.ORDER_TAKEN.title)]
    status: Annotated[int, described("HTTP status of the response.", 409, minimum=400, maximum=599)]
    hint: Annotated[str, described("Recommended action.", ProblemType.ORDER_TAKEN.hint)]


class ProtectedResource(msgspec.Struct, frozen=True, kw_only=True):
    """OAuth 2.0 Protected Resource Metadata (RFC 9728)."""

    resource: Annotated[str, described("URL of this API.", "http://localhost:8000/")]
    authorization_servers: Annotated[
        list[str],
        described("Issuers of accepted access tokens; empty with AUTH=off.", ["http://localhost:8088/realms/gofleet"]),
    ]
    scopes_supported: Annotated[list[TokenScope], described("Scopes of access tokens.")]
    bearer_methods_supported: Annotated[list[str], described("Places of the access token.", ["header"])]


PROBLEM_SHOWN = {200: ResponseDoc(ProblemTypeView, description="The problem type.")}
RESOURCE_SHOWN = {200: ResponseDoc(ProtectedResource, description="The metadata.")}


def _page_route(path: str, file: str, media_type: str) -> HTTPRouteHandler:
    content = (STATIC / file).read_bytes()

    @get(path, include_in_schema=False, sync_to_thread=False, opt=PUBLIC_ROUTE)
    def page() -> Response[bytes]:
        return Response(content, media_type=media_type, headers=HEADERS)

    return page


@get("/", include_in_schema=False, sync_to_thread=False, opt=PUBLIC_ROUTE)
def get_root(request: Request[Any, Any, Any]) -> Response[None]:
    """Leads a browser to the documentation page; programs get 404, as for any unknown path."""
    if "text/html" not in request.headers.get("Accept", ""):
        raise NotFoundException
    return Response(None, status_code=303, headers={"Location": "/api/v1/docs"})


DOCS_ROUTES = [_page_route(path, *file) for path, file in FILES.items()]


@get(
    PROBLEMS_PATH + "{slug:str}",
    operation_id="explainProblem",
    summary="Show a problem type",
    responses=PROBLEM_SHOWN | problem_responses(ProblemType.NOT_FOUND, public=True),
    opt=PUBLIC_ROUTE,
    tags=["problems"],
)
async def get_problem(
    slug: Annotated[
        str,
        PathParameter(
            description="Last segment of the problem's `type`.",
            schema_extra={"enum": [known.slug for known in ProblemType]},
        ),
    ],
) -> ProblemTypeView:
    """The meaning of a problem's `type`. Titles and hints may change, slugs never do."""
    if not (problem := problem_type_of_uri(PROBLEMS_PATH + slug)):
        raise NotFoundException
    return ProblemTypeView(type=problem.uri, title=problem.title, status=problem.status, hint=problem.hint)


def protected_resource_route(
    issuer: str | None, public_url: str = "", allowed_hosts: Collection[str] = ()
) -> HTTPRouteHandler:
    """The route of an API that trusts this issuer; None with AUTH=off.

    Clients request tokens for the `resource`, so it is never a name that only the request knows: `public_url`, or the
    Host of the request if that is an allowed one or of this machine.
    """

    @get(
        RESOURCE_PATH,
        operation_id="showResource",
        summary="Show the OAuth protected resource metadata",
        responses=RESOURCE_SHOWN | problem_responses(ProblemType.NOT_FOUND, public=True),
        tags=["operations"],
        opt=PUBLIC_ROUTE,
        sync_to_thread=False,
    )
    def get_protected_resource(request: Request[Any, Any, Any]) -> ProtectedResource:
        """The issuers and scopes of the access tokens that this API accepts. 404 under a Host that the server does not
        know to be its own (`WEB_PUBLIC_URL`, `WEB_ALLOWED_HOSTS`)."""
        if not public_url and not is_known_host(cast("Scope", request.scope), allowed_hosts):
            raise NotFoundException
        return ProtectedResource(
            resource=public_url or str(request.base_url),
            authorization_servers=[issuer] if issuer else [],
            scopes_supported=list(TokenScope),
            bearer_methods_supported=["header"],
        )

    return get_protected_resource
