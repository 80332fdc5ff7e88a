"""The OpenAPI document is complete and free of traces of the framework."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import httpx
import msgspec
import pytest
from jsonschema import Draft202012Validator

from gofleet.adapters.http.app import TAGS, openapi_document
from gofleet.adapters.http.problem_types import ProblemType
from gofleet.adapters.http.problems import MEDIA_TYPE
from gofleet.adapters.json_schema import REFERENCE
from tests.committed import committed_openapi

DOCUMENT = committed_openapi()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS: dict[str, dict[str, Any]] = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
IDS = {"order_id", "driver_id", "id"}


def responses(route: str) -> Iterable[tuple[int, dict[str, Any]]]:
    for status, response in OPERATIONS[route]["responses"].items():
        yield int(status), response


def slugs(response: dict[str, Any]) -> list[str]:
    return response["content"][MEDIA_TYPE]["schema"]["properties"]["type"]["enum"]


async def test_serves_the_document_that_is_generated_without_a_server(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/openapi.json")  # this server runs with AUTH=off

    assert response.headers["content-type"] == "application/vnd.oai.openapi+json"
    assert response.json() == openapi_document() == DOCUMENT


async def test_the_example_of_an_order_creates_one_each_time(client: httpx.AsyncClient) -> None:
    example = OPERATIONS["POST /api/v1/orders"]["requestBody"]["content"]["application/json"]["example"]

    created = [await client.post("/api/v1/orders", json=example) for _ in range(3)]

    assert [response.status_code for response in created] == [201, 201, 201]


def test_every_operation_has_a_name_and_a_description(subtests: pytest.Subtests) -> None:
    for route in OPERATIONS:
        with subtests.test(route=route):
            _check_operation(route)


def _check_operation(route: str) -> None:
    operation = OPERATIONS[route]

    assert re.fullmatch(r"[a-z]+[A-Z][a-zA-Z]*", operation["operationId"])
    assert "Api" not in operation["operationId"], "give the handler an operation_id"
    assert operation["summary"]
    assert operation["description"]
    assert set(operation["tags"]) <= set(TAGS)


def test_operation_ids_are_unique() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]

    assert len(set(names)) == len(names)


def test_every_parameter_has_a_description_and_bounds(subtests: pytest.Subtests) -> None:
    for route in OPERATIONS:
        with subtests.test(route=route):
            _check_parameters(route)


def _check_parameters(route: str) -> None:
    for parameter in OPERATIONS[route]["parameters"]:
        schema: dict[str, Any] = parameter["schema"]
        assert parameter["description"], parameter["name"]
        assert "null" not in str(schema)
        assert schema.get("type") != "integer" or {"minimum", "maximum"} <= set(schema), parameter["name"]
        if parameter["name"] in IDS:
            assert schema["pattern"] == "^[A-Za-z0-9._:-]{1,64}$"


def test_marks_if_match_as_required_where_it_is() -> None:
    required = {
        route
        for route, operation in OPERATIONS.items()
        for parameter in operation["parameters"]
        if parameter["name"] == "If-Match" and parameter["required"]
    }

    assert required == {route for route in OPERATIONS if "428" in OPERATIONS[route]["responses"]}
    assert "POST /api/v1/orders/{order_id}/dispatch" in required


def test_every_response_is_described_with_its_headers(subtests: pytest.Subtests) -> None:
    for route in OPERATIONS:
        with subtests.test(route=route):
            _check_responses(route)


def _check_responses(route: str) -> None:
    for status, response in responses(route):
        assert response["description"] not in {HTTPStatus(status).description, HTTPStatus(status).phrase}
        assert "X-Request-Id" in response["headers"]
        if stream := response.get("content", {}).get("text/event-stream"):
            assert (stream["schema"], set(stream)) == ({"type": "string"}, {"schema", "example", "x-item-schema"})
        for name, described in response["headers"].items():
            header = DOCUMENT["components"]["headers"][name] if "$ref" in described else described
            assert header["description"], name
            assert header["schema"], name


def test_every_error_is_a_problem_that_lists_its_types(subtests: pytest.Subtests) -> None:
    for route in OPERATIONS:
        with subtests.test(route=route):
            _check_problems(route)


def _check_problems(route: str) -> None:
    for status, response in responses(route):
        if status < 400:
            assert MEDIA_TYPE not in response.get("content", {})
            continue
        assert list(response["content"]) == [MEDIA_TYPE]
        assert response["content"][MEDIA_TYPE]["schema"]["$ref"] == f"{REFERENCE}Problem"
        assert {slug.uri for slug in ProblemType if slug.uri in slugs(response)} == set(slugs(response))
        assert {slug.status for slug in ProblemType if slug.uri in slugs(response)} == {status}
        assert set(response["content"][MEDIA_TYPE]["examples"]) == {uri.rpartition("/")[2] for uri in slugs(response)}
    assert slugs(OPERATIONS[route]["responses"]["500"]) == [ProblemType.INTERNAL.uri]
    assert ProblemType.UNAVAILABLE.uri in slugs(OPERATIONS[route]["responses"]["503"])
    assert "Retry-After" in OPERATIONS[route]["responses"]["503"]["headers"]


def test_every_operation_with_a_body_lists_the_problems_of_bodies(subtests: pytest.Subtests) -> None:
    for route in OPERATIONS:
        with subtests.test(route=route):
            _check_body(route)


def _check_body(route: str) -> None:
    operation = OPERATIONS[route]
    statuses = set(operation["responses"])

    assert ("413" in statuses) == ("requestBody" in operation)
    if "requestBody" in operation:
        assert {"400", "408", "413", "415", "422"} <= statuses
        assert set(operation["requestBody"]["content"]) == {"application/json"}


def test_every_problem_type_is_documented() -> None:
    assert SCHEMAS["Problem"]["properties"]["type"]["enum"] == [slug.uri for slug in ProblemType]
    listed = {
        uri for route in OPERATIONS for status, response in responses(route) if status >= 400 for uri in slugs(response)
    }
    of_any_route = {ProblemType.BAD_REQUEST.uri, ProblemType.METHOD_NOT_ALLOWED.uri}
    assert listed | of_any_route == {slug.uri for slug in ProblemType}


def test_every_field_has_a_description(subtests: pytest.Subtests) -> None:
    for name in SCHEMAS:
        with subtests.test(schema=name):
            _check_schema(name)


def _check_schema(name: str) -> None:
    schema = SCHEMAS[name]

    assert schema["description"]
    for field, inner in schema.get("properties", {}).items():
        assert "description" in str(inner), f"{name}.{field}"
        assert inner.get("description") or inner.get("anyOf"), f"{name}.{field}"
        if field.endswith("_at"):
            assert "date-time" in str(inner), f"{name}.{field}"
        if field in {"lat", "lng"}:
            assert {"minimum", "maximum"} <= set(inner), f"{name}.{field}"


def test_request_bodies_accept_no_unknown_fields() -> None:
    bodies = [body for operation in OPERATIONS.values() if (body := operation.get("requestBody"))]
    schemas = {body["content"]["application/json"]["schema"]["$ref"].removeprefix(REFERENCE) for body in bodies}

    assert "NewOrder" in schemas
    assert [name for name in schemas if SCHEMAS[name].get("additionalProperties") is not False] == []


def test_every_example_matches_its_schema() -> None:
    for route, operation in OPERATIONS.items():
        body: dict[str, Any] = operation.get("requestBody", {})
        contents = [content for _, response in responses(route) for content in response.get("content", {}).values()]
        for media in [*body.get("content", {}).values(), *contents]:
            examples = [media["example"]] if "example" in media else _examples(media)
            validator = Draft202012Validator({**media["schema"], "components": DOCUMENT["components"]})
            for example in examples:
                assert list(validator.iter_errors(example)) == [], f"{route}: {example}"  # pyright: ignore[reportUnknownMemberType]


def _examples(media: dict[str, Any]) -> list[Any]:
    examples = DOCUMENT["components"]["examples"]
    return [examples[each["$ref"].rpartition("/")[2]]["value"] for each in media["examples"].values()]


def test_every_link_matches_an_operation_and_its_parameters() -> None:
    by_name = {operation["operationId"]: operation for operation in OPERATIONS.values()}
    response_links = [
        (name, each["parameters"])
        for route in OPERATIONS
        for _, response in responses(route)
        for name, each in response.get("links", {}).items()
    ]

    assert len(response_links) > 10
    for name, parameters in response_links:
        assert {each.rpartition(".")[2] for each in parameters} <= {
            each["name"] for each in by_name[name]["parameters"]
        }


def test_every_reference_resolves_and_every_component_is_used() -> None:
    references = set(re.findall(r'"\$ref":"([^"]*)"', msgspec.json.encode(DOCUMENT).decode()))
    components = {kind: values for kind, values in DOCUMENT["components"].items() if kind != "securitySchemes"}
    defined = {f"#/components/{kind}/{name}" for kind, values in components.items() for name in values}

    assert references == defined


def test_every_operation_states_its_security() -> None:
    operations = [operation for path in DOCUMENT["paths"].values() for operation in path.values()]
    schemes = {name for operation in operations for each in operation["security"] for name in each}

    assert schemes == set(DOCUMENT["components"]["securitySchemes"])
    without_token = {operation["operationId"] for operation in operations if not operation["security"]}
    assert without_token == {"explainProblem", "showResource"}


def test_the_document_has_no_traces_of_the_framework() -> None:
    text = msgspec.json.encode(DOCUMENT).decode()
    leftovers = ("status_code", "itestar", "Validation Exception", "allowEmptyValue", "Additional response")

    assert [word for word in leftovers if word in text] == []
