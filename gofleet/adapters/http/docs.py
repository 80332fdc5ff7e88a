"""`GET /api/v1/docs`: the API's description as a page, from this server alone."""

from __future__ import annotations

from pathlib import Path

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from gofleet.adapters.http.access import OPEN

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

    @get(path, include_in_schema=False, sync_to_thread=False, opt=OPEN)
    def page() -> Response[bytes]:
        return Response(content, media_type=media_type, headers=HEADERS)

    return page


DOCS_ROUTES = [_serving(path, *file) for path, file in FILES.items()]
