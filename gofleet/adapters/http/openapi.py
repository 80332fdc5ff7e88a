"""The OpenAPI 3.1 document: Litestar's, corrected and completed.

Paths and parameters come from Litestar, schemas of bodies from msgspec, which also reads and writes them, and responses
from the `Answer`s of the routes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from litestar import Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import HTTPRoute

from gofleet.adapters.http.auth import ACCESS, PUBLIC
from gofleet.adapters.http.problem_types import ProblemType
from gofleet.adapters.http.problems import RESPONSE_HEADERS, Problem, ResponseDoc
from gofleet.adapters.http.schemas.drivers import DriverLocationUpdate
from gofleet.adapters.json_schema import example_of, referenced_schemas, schemas_of

Json = dict[str, Any]
NOISE = ("deprecated", "allowEmptyValue", "allowReserved")
"""Keywords that Litestar writes with their default value, false."""
EVENT_STREAM = "text/event-stream"
REQUEST_ID = "X-Request-Id"
SECURITY: Json = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of the issuer that the server trusts. Each operation names the scope that it"
        " requires and, in `x-roles`, the roles that may use it: on everything, or only on their own orders and"
        " records. A server with AUTH=off requires no token.",
    }
}


class DocumentPlugin(JsonRenderPlugin):
    """Serves the document, which is built once."""

    _body: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: Json) -> bytes:
        if self._body is None:
            self._body = msgspec.json.encode(openapi_of(request.app))
        return self._body


def openapi_of(app: Litestar) -> Json:
    """The whole document, in a stable order: the same for every server, whether it requires tokens or not."""
    document = app.openapi_schema.to_schema()
    schemas: Json = document["components"].get("schemas", {}) | _schemas_of(app)
    for path, method, handler in _handlers(app):
        operation: Json = document["paths"][path][method]
        _drop_noise(operation)
        operation["parameters"] = [_parameter(parameter, handler) for parameter in operation.get("parameters", [])]
        operation["responses"] = _responses(handler, operation["responses"], schemas)
        operation |= _security(handler)
        if body := operation.get("requestBody"):
            for media in body["content"].values():
                media["example"] = example_of(media["schema"], schemas)
                media["example"].pop("id", None)  # optional; sent twice with an id, the example would be a conflict
    document["components"] = {
        "examples": _referenced(
            "examples", {problem.slug: _problem_example(problem) for problem in ProblemType}, document["paths"]
        ),
        "headers": _referenced("headers", RESPONSE_HEADERS, document["paths"]),
        "schemas": referenced_schemas(schemas, document["paths"]),
        "securitySchemes": SECURITY,
    }
    return document


def _handlers(app: Litestar) -> Iterable[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                if handler.resolve_include_in_schema():
                    yield route.path_format, method.lower(), handler


def _answers(handler: HTTPRouteHandler) -> Mapping[int, ResponseDoc]:
    return {status: spec for status, spec in (handler.responses or {}).items() if isinstance(spec, ResponseDoc)}


def _schemas_of(app: Litestar) -> Json:
    types: set[Any] = {Problem, DriverLocationUpdate}  # no handler declares these
    for _, _, handler in _handlers(app):
        if data := handler.parsed_data_field:
            types.add(data.annotation)
        types.update(answer.data_container for answer in _answers(handler).values() if answer.data_container)
    by_name = sorted(types, key=lambda type: type.__name__)
    return schemas_of(by_name)


def _parameter(parameter: Json, handler: HTTPRouteHandler) -> Json:
    _drop_noise(parameter)
    schema: Json = parameter["schema"]
    # None means that the parameter is absent; a URL or a header cannot contain null.
    alternatives = [each for each in schema.pop("oneOf", []) if each != {"type": "null"}]
    schema |= alternatives[0] if alternatives else {}
    schema.pop("description", None)
    if schema.get("type") == "integer":
        schema |= {name: int(schema[name]) for name in ("minimum", "maximum") if name in schema}
    if parameter["name"] == "If-Match" and any(
        ProblemType.PRECONDITION_REQUIRED in answer.problems for answer in _answers(handler).values()
    ):
        parameter["required"] = True
    return parameter


def _responses(handler: HTTPRouteHandler, generated: Json, schemas: Json) -> Json:
    """The responses that the route declares, without the 400 that Litestar adds and this API never sends."""
    answers = _answers(handler)
    return {str(status): _response(answers[status], generated[str(status)], schemas) for status in sorted(answers)}


def _response(answer: ResponseDoc, response: Json, schemas: Json) -> Json:
    headers = (*answer.headers, REQUEST_ID, "RateLimit?", "RateLimit-Policy?")
    response |= {"description": answer.description, "headers": {name.rstrip("?"): _header(name) for name in headers}}
    for name, media in response.get("content", {}).items():
        if answer.problems:
            media["schema"]["properties"] = {"type": {"enum": [problem.uri for problem in answer.problems]}}
            media["examples"] = {
                problem.slug: {"$ref": f"#/components/examples/{problem.slug}"} for problem in answer.problems
            }
        else:
            media["example"] = example_of(media["schema"], schemas)
        if name == EVENT_STREAM:
            _as_text(media)
    if answer.links:
        response["links"] = {name: _link(name, parameters) for name, parameters in answer.links.items()}
    return response


def _as_text(media: Json) -> None:
    """Describe a stream as text: only OpenAPI 3.2 can describe the `data:` of its events."""
    data = msgspec.json.encode(media["example"]).decode()
    media |= {"schema": {"type": "string"}, "x-item-schema": media["schema"], "example": f"data: {data}\n\n"}


def _security(handler: HTTPRouteHandler) -> Json:
    """The scope and the roles that the operation requires; none if it is public."""
    if handler.opt.get(PUBLIC):
        return {"security": []}
    access = ACCESS[str(handler.operation_id)]
    return {
        "security": [{"token": [access.scope.value]}],
        "x-roles": {
            "everything": sorted(role.value for role in access.everything),
            "own": sorted(role.value for role in access.own),
        },
    }


def _header(name: str) -> Json:
    if name.endswith("?"):
        return {**RESPONSE_HEADERS[name.rstrip("?")], "required": False}
    return {"$ref": f"#/components/headers/{name}"}


def _referenced(kind: str, components: Json, paths: Json) -> Json:
    text = msgspec.json.encode(paths).decode()
    return {name: value for name, value in components.items() if f'"#/components/{kind}/{name}"' in text}


def _link(operation: str, parameters: Mapping[str, str]) -> Json:
    return {"operationId": operation, "parameters": dict(parameters)}


def _problem_example(kind: ProblemType) -> Json:
    problem = Problem(
        type=kind.uri,
        title=kind.title,
        status=kind.status,
        request_id=str(RESPONSE_HEADERS[REQUEST_ID]["example"]),
    )
    return {"summary": kind.hint, "value": msgspec.to_builtins(problem)}


def _drop_noise(value: Json) -> None:
    for name in NOISE:
        if value.get(name) is False:
            del value[name]
