"""`GET /.well-known/oauth-protected-resource`: where whoever wants in gets a token (RFC 9728)."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.handlers import HTTPRouteHandler

from gofleet.adapters.http.access import OPEN
from gofleet.adapters.http.answers import Answer
from gofleet.adapters.http.fields import said
from gofleet.adapters.http.problems import documented
from gofleet.domain.principal import Scope

PATH = "/.well-known/oauth-protected-resource"


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """What this API asks of those who come."""

    resource: Annotated[str, said("This API, as it was asked.", "http://localhost:8000/")]
    authorization_servers: Annotated[
        list[str], said("Who gives tokens for it; nobody where AUTH=off.", ["http://localhost:8088/realms/gofleet"])
    ]
    scopes_supported: Annotated[list[Scope], said("What a token may be for.")]
    bearer_methods_supported: Annotated[list[str], said("Where it goes.", ["header"])]


ANSWERS = {200: Answer(Resource, description="Where to get a token, and for what.")}


def resource_of(issuer: str | None) -> HTTPRouteHandler:
    """The route of an API that trusts this issuer."""

    @get(
        PATH,
        operation_id="showResource",
        summary="Tell where to log in",
        responses=ANSWERS | documented(public=True),
        tags=["operations"],
        opt=OPEN,
        sync_to_thread=False,
    )
    def resource(request: Request[Any, Any, Any]) -> Resource:
        """Which issuer's access tokens this API takes."""
        return Resource(
            resource=str(request.base_url),
            authorization_servers=[issuer] if issuer else [],
            scopes_supported=list(Scope),
            bearer_methods_supported=["header"],
        )

    return resource
