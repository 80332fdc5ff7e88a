"""`GET /api/v1/docs`: the API's description as a page, from this server alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from gofleet.adapters.http.auth import PUBLIC_ROUTE
from gofleet.adapters.http.fields import described
from gofleet.adapters.http.problem_types import PROBLEMS_PATH, ProblemType, problem_type_of_uri
from gofleet.adapters.http.problems import ResponseDoc, problem_responses
from gofleet.domain.principal import Scope

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


def _serving(path: str, file: str, media_type: str) -> HTTPRouteHandler:
    content = (STATIC / file).read_bytes()

    @get(path, include_in_schema=False, sync_to_thread=False, opt=PUBLIC_ROUTE)
    def page() -> Response[bytes]:
        return Response(content, media_type=media_type, headers=HEADERS)

    return page


DOCS_ROUTES = [_serving(path, *file) for path, file in FILES.items()]


class ProblemTypeView(msgspec.Struct, frozen=True, kw_only=True):
    """What a sort of problem means."""

    type: Annotated[str, described("The `type` of such problems.", ProblemType.ORDER_TAKEN.uri)]
    title: Annotated[str, described("What is wrong.", ProblemType.ORDER_TAKEN.title)]
    status: Annotated[int, described("The HTTP status it comes with.", 409, minimum=400, maximum=599)]
    hint: Annotated[str, described("What to do about it.", ProblemType.ORDER_TAKEN.hint)]


EXPLAINED = {200: ResponseDoc(ProblemTypeView, description="What it means and what to do about it.")}


@get(
    PROBLEMS_PATH + "{slug:str}",
    operation_id="explainProblem",
    summary="Explain a problem",
    responses=EXPLAINED | problem_responses(ProblemType.NOT_FOUND, public=True),
    opt=PUBLIC_ROUTE,
    tags=["problems"],
)
async def get_problem(
    slug: Annotated[
        str,
        PathParameter(
            description="The end of the problem's `type`.", schema_extra={"enum": [known.slug for known in ProblemType]}
        ),
    ],
) -> ProblemTypeView:
    """What the `type` of a problem means. The words may change, the slugs never do."""
    if not (problem := problem_type_of_uri(PROBLEMS_PATH + slug)):
        raise NotFoundException
    return ProblemTypeView(type=problem.uri, title=problem.title, status=problem.status, hint=problem.hint)


PATH = "/.well-known/oauth-protected-resource"


class ProtectedResource(msgspec.Struct, frozen=True, kw_only=True):
    """What this API asks of those who come."""

    resource: Annotated[str, described("This API, as it was asked.", "http://localhost:8000/")]
    authorization_servers: Annotated[
        list[str],
        described("Who gives tokens for it; nobody where AUTH=off.", ["http://localhost:8088/realms/gofleet"]),
    ]
    scopes_supported: Annotated[list[Scope], described("What a token may be for.")]
    bearer_methods_supported: Annotated[list[str], described("Where it goes.", ["header"])]


RESOURCE_SHOWN = {200: ResponseDoc(ProtectedResource, description="Where to get a token, and for what.")}


def protected_resource_route(issuer: str | None) -> HTTPRouteHandler:
    """The route of an API that trusts this issuer."""

    @get(
        PATH,
        operation_id="showResource",
        summary="Tell where to log in",
        responses=RESOURCE_SHOWN | problem_responses(public=True),
        tags=["operations"],
        opt=PUBLIC_ROUTE,
        sync_to_thread=False,
    )
    def resource(request: Request[Any, Any, Any]) -> ProtectedResource:
        """Which issuer's access tokens this API takes."""
        return ProtectedResource(
            resource=str(request.base_url),
            authorization_servers=[issuer] if issuer else [],
            scopes_supported=list(Scope),
            bearer_methods_supported=["header"],
        )

    return resource
