"""`gofleet openapi`: what the API is, for programs."""

from __future__ import annotations

import sys


def openapi() -> None:
    """Print the OpenAPI document of the REST API, as a running one serves it."""
    from gofleet.adapters.http.document import openapi_document

    sys.stdout.buffer.write(openapi_document())
