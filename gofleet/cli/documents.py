"""`gofleet openapi`: what the API is, for programs."""

from __future__ import annotations

import json


def openapi() -> None:
    """Print the OpenAPI document of the REST API, as a running one serves it."""
    from gofleet.adapters.http.document import openapi_document

    print(json.dumps(openapi_document(), indent=2))
