"""Every kind of breaking change is detected, and compatible changes are accepted."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from gofleet.adapters.http.app import openapi_document
from gofleet.adapters.rabbit.asyncapi import asyncapi_document
from tests.api_contracts.asyncapi import asyncapi_breaks
from tests.api_contracts.documents import PB, ROOT
from tests.api_contracts.openapi import openapi_breaks
from tests.api_contracts.proto import proto_breaks

Json = dict[str, Any]
OPENAPI: Json = openapi_document()
ASYNCAPI: Json = asyncapi_document()
PROTO = (ROOT / PB / "fleet.binpb").read_bytes()
ORDERS, ORDER, DISPATCH = "/api/v1/orders", "/api/v1/orders/{order_id}", "/api/v1/orders/{order_id}/dispatch"
STRING = {"type": "string"}
Change = Callable[[Json], object]
"""Changes a document in place."""


def create(document: Json) -> Json:
    return document["paths"][ORDERS]["post"]


def listing(document: Json, name: str) -> Json:
    return next(one for one in document["paths"][ORDERS]["get"]["parameters"] if one["name"] == name)


def schema(document: Json, name: str) -> Json:
    return document["components"]["schemas"][name]


def field(document: Json, name: str, of: str) -> Json:
    return schema(document, name)["properties"][of]


OPENAPI_BREAKS: dict[str, Change] = {
    "POST /api/v1/orders: is gone": lambda d: d["paths"].pop(ORDERS),
    "GET /api/v1/orders: is gone": lambda d: d["paths"][ORDERS].pop("get"),
    "operationId was createOrder, is newOrder": lambda d: create(d).update(operationId="newOrder"),
    "response 409 is gone": lambda d: create(d)["responses"].pop("409"),
    "response 201: application/json is gone": lambda d: create(d)["responses"]["201"].pop("content"),
    "header Location of response 201 is gone": lambda d: create(d)["responses"]["201"]["headers"].pop("Location"),
    "header Location of response 201 may be missing": lambda d: d["components"]["headers"]["Location"].pop("required"),
    "response 201.final_price: is gone": lambda d: schema(d, "OrderView")["properties"].pop("final_price"),
    "response 201.version: may be missing": lambda d: schema(d, "OrderView")["required"].remove("version"),
    "response 201.version: may be null": lambda d: field(d, "OrderView", "version").update(type=["integer", "null"]),
    "response 201.price: may be string": lambda d: field(d, "OrderView", "price").update(STRING),
    "response 201.version: may be number": lambda d: field(d, "OrderView", "version").update(type="number"),
    "response 201.status: MANUAL_DISPATCH is no longer": lambda d: schema(d, "Status")["enum"].remove(
        "MANUAL_DISPATCH"
    ),
    "response 409.type: /problems/order-taken is no longer": lambda d: create(d)["responses"]["409"]["content"][
        "application/problem+json"
    ]["schema"]["properties"]["type"]["enum"].remove("/problems/order-taken"),
    "response 200.items[].id: is gone": lambda d: schema(d, "OrderView")["properties"].pop("id"),
    "parameter query cursor is gone": lambda d: d["paths"][ORDERS]["get"]["parameters"].remove(listing(d, "cursor")),
    "parameter query cursor is required": lambda d: listing(d, "cursor").update(required=True),
    "parameter query token is required": lambda d: d["paths"][ORDERS]["get"]["parameters"].append(
        {"name": "token", "in": "query", "required": True, "schema": STRING}
    ),
    "parameter query limit: maximum was 100, is 50": lambda d: listing(d, "limit")["schema"].update(maximum=50),
    "parameter query limit: minimum was 1, is 2": lambda d: listing(d, "limit")["schema"].update(minimum=2),
    "parameter query cursor: pattern was": lambda d: listing(d, "cursor")["schema"].update(pattern="^[0-9]+$"),
    "parameter query status: PENDING is no longer": lambda d: schema(d, "Status")["enum"].remove("PENDING"),
    "parameter query cursor: takes certain values only": lambda d: listing(d, "cursor")["schema"].update(enum=["a"]),
    "body: application/json is gone": lambda d: create(d)["requestBody"].pop("content"),
    "cancel: a body is required": lambda d: d["paths"][f"{ORDER}/cancel"]["post"].update(
        requestBody={"required": True, "content": {}}
    ),
    "body.customer: is required": lambda d: schema(d, "NewOrder")["required"].append("customer"),
    "body.dropoff: is gone": lambda d: schema(d, "NewOrder")["properties"].pop("dropoff"),
    "body.price: may no longer be number": lambda d: field(d, "NewOrder", "price").update(STRING),
    "body.id: may no longer be null": lambda d: field(d, "NewOrder", "id")["anyOf"].pop(),
    "body.pickup.lat: maximum was": lambda d: field(d, "GeoPoint", "lat").update(maximum=80),
    "body.tax: multipleOf was": lambda d: field(d, "NewOrder", "tax").update(multipleOf=1),
}
REST_COMPATIBLE: dict[str, Change] = {
    "a new path": lambda d: d["paths"].update({"/new": {"get": {"operationId": "news", "responses": {}}}}),
    "a new answer": lambda d: create(d)["responses"].update({"418": {"description": "a teapot"}}),
    "a new field of an answer": lambda d: schema(d, "OrderView")["properties"].update(note=STRING),
    "a new value of an answer": lambda d: schema(d, "Reason")["enum"].append("strike"),
    "a new slug": lambda d: field(d, "Problem", "type")["enum"].append("/problems/new"),
    "an answer that is never null any more": lambda d: field(d, "OrderView", "driver_id")["anyOf"].pop(),
    "a number that is always whole": lambda d: field(d, "OrderView", "price").update(type="integer"),
    "a header more": lambda d: create(d)["responses"]["201"]["headers"].update(ETag={"schema": STRING}),
    "an optional parameter": lambda d: d["paths"][ORDERS]["get"]["parameters"].append(
        {"name": "after", "in": "query", "schema": STRING}
    ),
    "a parameter that need no longer be sent": lambda d: [
        one.update(required=False) for one in d["paths"][DISPATCH]["post"]["parameters"] if one["in"] == "header"
    ],
    "an optional field of a body": lambda d: schema(d, "NewOrder")["properties"].update(note=STRING),
    "a field that need no longer be sent": lambda d: schema(d, "NewOrder")["required"].remove("tax"),
    "more is taken": lambda d: listing(d, "limit")["schema"].update(maximum=500, minimum=0),
    "any text is taken": lambda d: listing(d, "cursor")["schema"].pop("pattern"),
    "other texts": lambda d: create(d).update(summary="Make an order", description="Another description."),
    "other examples": lambda d: field(d, "NewOrder", "price").update(examples=[7]),
}
CREATED = "orders.created"
ASYNCAPI_BREAKS: dict[str, Change] = {
    "channels ordersCreated: is gone": lambda d: d["channels"].pop("ordersCreated"),
    "channels ordersCreated: address was": lambda d: d["channels"]["ordersCreated"].update(address="order.created"),
    "channels ordersCreated: bindings was": lambda d: d["channels"]["ordersCreated"]["bindings"]["amqp"][
        "exchange"
    ].update(name="events"),
    "channels ordersCreated: OrderCreated is gone": lambda d: d["channels"]["ordersCreated"]["messages"].clear(),
    "operations publishOrderCreated: is gone": lambda d: d["operations"].pop("publishOrderCreated"),
    "operations publishOrderCreated: has": lambda d: d["operations"]["publishOrderCreated"].update(action="receive"),
    "orders.created: contentType was": lambda d: d["components"]["messages"]["OrderCreated"].update(contentType="x/y"),
    "orders.created headers.x-sequence: is gone": lambda d: d["components"]["messages"]["OrderCreated"]["headers"][
        "properties"
    ].pop("x-sequence"),
    "orders.created payload.price: is gone": lambda d: schema(d, "OrderCreated")["properties"].pop("price"),
    "orders.created payload.price: may be string": lambda d: field(d, "OrderCreated", "price").update(STRING),
    "orders.created payload.occurred_at: may be missing": lambda d: schema(d, "OrderCreated")["required"].remove(
        "occurred_at"
    ),
    "orders.created payload.type: orders.created is no longer": lambda d: field(d, "OrderCreated", "type").update(
        enum=["orders.made"]
    ),
    "orders.dispatched payload.driver_id: may be null": lambda d: field(d, "OrderDispatched", "driver_id").update(
        type=["string", "null"]
    ),
}
EVENTS_COMPATIBLE: dict[str, Change] = {
    "a new channel": lambda d: d["channels"].update(new={}),
    "a new field": lambda d: schema(d, "OrderCreated")["properties"].update(note=STRING),
    "a new header": lambda d: d["components"]["messages"]["OrderCreated"]["headers"]["properties"].update(note=STRING),
    "a queue that receives more": lambda d: d["channels"]["fleetDriversQueue"]["messages"].update(
        OrderCreated={"$ref": "#/components/messages/OrderCreated"}
    ),
    "other texts": lambda d: d["info"].update(description="Another description.", version="9.9.9"),
}


def changed(document: Json, change: Change) -> Json:
    copy = deepcopy(document)
    change(copy)
    assert copy != document
    return copy


@pytest.mark.parametrize("sentence", OPENAPI_BREAKS)
def test_detects_a_breaking_change_of_rest(sentence: str) -> None:
    breaks = list(openapi_breaks(OPENAPI, changed(OPENAPI, OPENAPI_BREAKS[sentence])))

    assert any(sentence in each for each in breaks), breaks


@pytest.mark.parametrize("name", REST_COMPATIBLE)
def test_accepts_a_compatible_change_of_rest(name: str) -> None:
    assert list(openapi_breaks(OPENAPI, changed(OPENAPI, REST_COMPATIBLE[name]))) == []


@pytest.mark.parametrize("sentence", ASYNCAPI_BREAKS)
def test_detects_a_breaking_change_of_the_events(sentence: str) -> None:
    breaks = list(asyncapi_breaks(ASYNCAPI, changed(ASYNCAPI, ASYNCAPI_BREAKS[sentence])))

    assert any(sentence in each for each in breaks), breaks


@pytest.mark.parametrize("name", EVENTS_COMPATIBLE)
def test_accepts_a_compatible_change_of_the_events(name: str) -> None:
    assert list(asyncapi_breaks(ASYNCAPI, changed(ASYNCAPI, EVENTS_COMPATIBLE[name]))) == []


def proto_changed(change: Callable[[FileDescriptorProto], object]) -> list[str]:
    files = FileDescriptorSet.FromString(PROTO)
    [file] = [one for one in files.file if one.name == "fleet.proto"]
    change(file)
    assert files.SerializeToString() != PROTO
    return list(proto_breaks(PROTO, files.SerializeToString()))


def request(file: FileDescriptorProto) -> Any:
    """SearchDriverRequest, with `order_id` first."""
    return next(one for one in file.message_type if one.name == "SearchDriverRequest")


PROTO_BREAKS: dict[str, Callable[[FileDescriptorProto], object]] = {
    "package was pb, is fleet": lambda f: setattr(f, "package", "fleet"),
    "SearchDriverRequest: is gone": lambda f: setattr(request(f), "name", "Search"),
    "SearchDriverRequest.order_id = 1: is gone": lambda f: setattr(request(f).field[0], "number", 99),
    "SearchDriverRequest.order_id = 1: was": lambda f: setattr(
        request(f).field[0], "type", FieldDescriptorProto.TYPE_BYTES
    ),
    "('id', 9,": lambda f: setattr(request(f).field[0], "name", "id"),
    "9, '', 3, ": lambda f: setattr(request(f).field[0], "label", FieldDescriptorProto.LABEL_REPEATED),
    "FleetService: is gone": lambda f: setattr(f.service[0], "name", "Fleet"),
    "FleetService.SearchDriver: is gone": lambda f: setattr(f.service[0].method[0], "name", "Search"),
    "FleetService.SearchDriver: request, response or streaming": lambda f: setattr(
        f.service[0].method[0], "server_streaming", True
    ),
}


@pytest.mark.parametrize("sentence", PROTO_BREAKS)
def test_detects_a_breaking_change_of_grpc(sentence: str) -> None:
    breaks = proto_changed(PROTO_BREAKS[sentence])

    assert any(sentence in each for each in breaks), breaks


PROTO_COMPATIBLE: dict[str, Callable[[FileDescriptorProto], object]] = {
    "a new message": lambda f: f.message_type.add(name="New"),
    "a new field": lambda f: request(f).field.add(name="note", number=99, type=FieldDescriptorProto.TYPE_STRING),
    "a new method": lambda f: f.service[0].method.add(name="New", input_type=".pb.A", output_type=".pb.B"),
    "a new service": lambda f: f.service.add(name="New"),
}


@pytest.mark.parametrize("name", PROTO_COMPATIBLE)
def test_accepts_a_compatible_change_of_grpc(name: str) -> None:
    assert proto_changed(PROTO_COMPATIBLE[name]) == []


def test_a_contract_is_compatible_with_itself() -> None:
    assert list(openapi_breaks(OPENAPI, OPENAPI)) == []
    assert list(asyncapi_breaks(ASYNCAPI, ASYNCAPI)) == []
    assert list(proto_breaks(PROTO, PROTO)) == []
