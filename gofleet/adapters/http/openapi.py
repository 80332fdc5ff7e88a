"""The API's description (OpenAPI 3.1): Litestar's, with what it cannot say and without what is only its own.

Routes and parameters are Litestar's. Bodies are described by msgspec, which reads and writes them; answers by the
routes' own `Answer`s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from litestar import Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import HTTPRoute

from gofleet.adapters.http.auth import ACCESS, PUBLIC
from gofleet.adapters.http.problem_types import ProblemType
from gofleet.adapters.http.problems import RESPONSE_HEADERS, Problem, ResponseDoc
from gofleet.adapters.json_schema import example_of, referenced_schemas, schemas_of

Json = dict[str, Any]
NOISE = ("deprecated", "allowEmptyValue", "allowReserved")
"""Litestar writes them out although false is what their absence means."""
EVENT_STREAM = "text/event-stream"
REQUEST_ID = "X-Request-Id"
SECURITY: Json = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of the issuer that the server trusts. Each operation names the scope that it"
        " takes, and in `x-roles` who may do it: with everything there is, or with their own orders and records. A"
        " server with AUTH=off asks for none.",
    }
}


class DocumentPlugin(JsonRenderPlugin):
    """Answers the description, which is made once; `guarded`: whether this server asks who somebody is."""

    _body: bytes | None = None

    def __init__(self, *, path: str, auth_required: bool) -> None:
        super().__init__(path=path)
        self._guarded = auth_required

    def render(self, request: Request[Any, Any, Any], openapi_schema: Json) -> bytes:
        if self._body is None:
            self._body = msgspec.json.encode(openapi_of(request.app, auth_required=self._guarded))
        return self._body


def openapi_of(app: Litestar, *, auth_required: bool = True) -> Json:
    """The whole document; its order is stable. Of a server that is not `guarded`, no operation takes a token."""
    document = app.openapi_schema.to_schema()
    schemas: Json = document["components"].get("schemas", {}) | _schemas_of(app)
    for path, method, handler in _handlers(app):
        operation: Json = document["paths"][path][method]
        _drop_noise(operation)
        operation["parameters"] = [_parameter(one, handler) for one in operation.get("parameters", [])]
        operation["responses"] = _responses(handler, operation["responses"], schemas)
        operation |= _security(handler) if auth_required else {"security": []}
        if body := operation.get("requestBody"):
            for media in body["content"].values():
                media["example"] = example_of(media["schema"], schemas)
    document["components"] = {
        "examples": _referred(
            "examples", {problem.slug: _problem_example(problem) for problem in ProblemType}, document["paths"]
        ),
        "headers": _referred("headers", RESPONSE_HEADERS, document["paths"]),
        "schemas": referenced_schemas(schemas, document["paths"]),
        "securitySchemes": SECURITY if auth_required else {},
    }
    return document


def _handlers(app: Litestar) -> Iterable[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                if handler.resolve_include_in_schema():
                    yield route.path_format, method.lower(), handler


def _answers(handler: HTTPRouteHandler) -> Mapping[int, ResponseDoc]:
    return {status: one for status, one in (handler.responses or {}).items() if isinstance(one, ResponseDoc)}


def _schemas_of(app: Litestar) -> Json:
    types: set[Any] = {Problem}
    for _, _, handler in _handlers(app):
        if data := handler.parsed_data_field:
            types.add(data.annotation)
        types.update(one.data_container for one in _answers(handler).values() if one.data_container)
    by_name = sorted(types, key=lambda type: type.__name__)
    return schemas_of(by_name)


def _parameter(parameter: Json, handler: HTTPRouteHandler) -> Json:
    _drop_noise(parameter)
    schema: Json = parameter["schema"]
    # None stands for "was not sent"; there is no null in a URL or a header.
    alternatives = [one for one in schema.pop("oneOf", []) if one != {"type": "null"}]
    schema |= alternatives[0] if alternatives else {}
    schema.pop("description", None)
    if schema.get("type") == "integer":
        schema |= {name: int(schema[name]) for name in ("minimum", "maximum") if name in schema}
    if parameter["name"] == "If-Match" and any(
        ProblemType.PRECONDITION_REQUIRED in a.problems for a in _answers(handler).values()
    ):
        parameter["required"] = True
    return parameter


def _responses(handler: HTTPRouteHandler, litestars: Json, schemas: Json) -> Json:
    """Those that the route declares. Litestar adds a 400 of its own shape, which we never answer."""
    answers = _answers(handler)
    more = () if handler.opt.get(PUBLIC) else ("RateLimit?", "RateLimit-Policy?")
    return {
        str(status): _response(answers[status], litestars[str(status)], schemas, more) for status in sorted(answers)
    }


def _response(answer: ResponseDoc, response: Json, schemas: Json, more: Sequence[str]) -> Json:
    headers = {name.rstrip("?"): _header(name) for name in (*answer.headers, REQUEST_ID, *more)}
    response |= {"description": answer.description, "headers": headers}
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
    """A stream is a text; what each `data:` in it holds, OpenAPI can say from version 3.2 on only."""
    data = msgspec.json.encode(media["example"]).decode()
    media |= {"schema": {"type": "string"}, "x-item-schema": media["schema"], "example": f"data: {data}\n\n"}


def _security(handler: HTTPRouteHandler) -> Json:
    """What a token must say; what is public says nothing."""
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


def _referred(kind: str, named: Json, paths: Json) -> Json:
    text = msgspec.json.encode(paths).decode()
    return {name: one for name, one in named.items() if f'"#/components/{kind}/{name}"' in text}


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
