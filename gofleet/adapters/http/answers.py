"""What a route answers, for its description: more than Litestar's own `ResponseSpec` can say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from litestar.openapi.datastructures import ResponseSpec

from gofleet.adapters.http.problem_types import Slug
from gofleet.domain.values import IDENTIFIER

TAG_PATTERN = r'^"[!#-~]+"$'

AFTER = {"query.cursor": "$response.body#/next_cursor"}
"""Link to the page after this one."""

HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": "Names the request in our logs: the client's own X-Request-Id if it is one, else a new id.",
        "required": True,
        "schema": {"type": "string", "pattern": f"^{IDENTIFIER.pattern}$"},
        "example": "0198c0de-0000-7000-8000-000000000001",
    },
    "ETag": {
        "description": "Names this version of what is answered: for If-Match and If-None-Match.",
        "required": True,
        "schema": {"type": "string", "pattern": TAG_PATTERN},
        "example": '"3"',
    },
    "Location": {
        "description": "Where the order is from now on.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
        "example": "/api/v1/orders/pedido-teste-01",
    },
    "Idempotent-Replayed": {
        "description": "The same was asked for before, and this is that answer again.",
        "required": True,
        "schema": {"type": "string", "const": "true"},
    },
    "WWW-Authenticate": {
        "description": "That a bearer token is asked for, and what is wrong with the one that was sent (RFC 6750).",
        "required": True,
        "schema": {"type": "string", "pattern": "^Bearer "},
        "example": 'Bearer realm="gofleet"',
    },
    "RateLimit": {
        "description": "How often you may still ask, and after how many seconds all is forgotten, where limits are on.",
        "required": True,
        "schema": {"type": "string"},
        "example": '"default";r=59;t=1',
    },
    "RateLimit-Policy": {
        "description": "How often you may ask within how many seconds, where limits are on.",
        "required": True,
        "schema": {"type": "string"},
        "example": '"default";q=60;w=3',
    },
    "Position-Ignored": {
        "description": "The position was not taken, for a newer one is known.",
        "required": True,
        "schema": {"type": "string", "const": "older"},
    },
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    },
}
"""Those that a description may name. The first is part of every answer."""


@dataclass
class Answer(ResponseSpec):
    """One answer of a route: which of `HEADERS` it carries (`Name?`: may carry), the slugs of a problem, and `links`:
    the operation that may follow -> its parameters, as runtime expressions of OpenAPI."""

    data_container: Any  # Litestar's own type for it says nothing
    generate_examples: bool = False
    headers: tuple[str, ...] = ()
    slugs: tuple[Slug, ...] = ()
    links: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
