"""What OPTIONS answers: Litestar's own answer forgets the methods that a path got from another handler."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from litestar import Response, route
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler

from gofleet.adapters.http.access import OPEN


def options_of(handlers: Sequence[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """A handler for each path of `handlers`, which tells what methods it takes."""
    allowed: dict[str, set[str]] = defaultdict(lambda: {HttpMethod.OPTIONS.value})
    for handler in handlers:
        for path in handler.paths:
            allowed[path] |= {str(method) for method in handler.http_methods}
    return [_options(path, ", ".join(sorted(methods))) for path, methods in sorted(allowed.items())]


def _options(path: str, methods: str) -> HTTPRouteHandler:
    @route(path, http_method=[HttpMethod.OPTIONS], status_code=204, include_in_schema=False, opt=OPEN)
    async def options() -> Response[None]:
        return Response(None, status_code=204, headers={"Allow": methods})

    return options
