"""The API's description without an API that runs."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

from gofleet.adapters.http.app import Api, routed
from gofleet.adapters.http.openapi import openapi_of


def openapi_document() -> dict[str, Any]:
    """The description of all routes (OpenAPI 3.1), for which nothing is opened or asked."""
    nothing = cast("Any", dict.fromkeys(field.name for field in fields(Api)))
    return openapi_of(routed(Api(**nothing)))
