"""Invalid requests are answered with a precise 4xx, never a 5xx, and nothing is stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import NamedTuple

import httpx
import pytest

from gofleet.adapters.http.request_limits import BODY_BYTES_MAX
from gofleet.adapters.http.server import Listening
from gofleet.adapters.http.validation import MalformedJson, decode_body
from gofleet.domain.driver import Driver
from gofleet.domain.order import Status
from tests.logs import logged
from tests.makers import an_order
from tests.roles.conftest import World
from tests.roles.raw import exchange

ORDERS = "/api/v1/orders"
JSON = {"Content-Type": "application/json"}


class Case(NamedTuple):
    """A body, the status of its response and the pointer of its first fault (None = no fault is listed)."""

    name: str
    body: bytes
    status: int
    pointer: str | None = None


def order(**fields: object) -> bytes:
    return json.dumps({"id": "o-1", "price": 10, "tax": 1, **fields}).encode()


def price(literal: str) -> bytes:
    return b'{"id":"o-1","price":%s,"tax":1}' % literal.encode()


POST = b"POST /api/v1/orders HTTP/1.1\r\n"


def post_head(length: int, path: bytes = b"/api/v1/orders") -> bytes:
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close"
    return head % (path, length) + b"\r\n\r\n"


DEEP = b"[" * 5000 + b"]" * 5000
CASES = [
    Case("no price", b'{"tax":1}', 422, "/price"),
    Case("no tax", b'{"price":1}', 422, "/tax"),
    Case("half a pickup", order(pickup={"lat": 1}), 422, "/pickup/lng"),
    Case("string price", order(price="10"), 422, "/price"),
    Case("string tax", order(tax="1"), 422, "/tax"),
    Case("string place", order(pickup={"lat": "1", "lng": 2}), 422, "/pickup/lat"),
    Case("boolean price", order(price=True), 422, "/price"),
    Case("null price", order(price=None), 422, "/price"),
    Case("number as id", order(id=5), 422, "/id"),
    Case("NaN string", order(price="NaN"), 422, "/price"),
    Case("Infinity string", order(tax="-Infinity"), 422, "/tax"),
    Case("NaN", price("NaN"), 400),
    Case("Infinity", price("Infinity"), 400),
    Case("minus Infinity", price("-Infinity"), 400),
    Case("negative price", price("-5"), 422, "/price"),
    Case("negative tax", order(tax=-0.01), 422, "/tax"),
    Case("zero price", price("0"), 422, "/price"),
    Case("minus zero price", price("-0.0"), 422, "/price"),
    Case("three decimals", price("10.005"), 422, "/price"),
    Case("a decimal beyond a float", price("1.0000000000000000001"), 422, "/price"),
    Case("a decimal beyond a float, with an exponent", price("10000000000000000000001e-20"), 422, "/price"),
    Case(
        "a decimal beyond a float in the tax",
        order(tax=1).replace(b'"tax": 1', b'"tax": 0.00000000000000000001'),
        422,
        "/tax",
    ),
    Case("a trace of a cent", price("1e-308"), 422, "/price"),
    Case("a cent too much", price("100000000.00"), 422, "/price"),
    Case("1e308", price("1e308"), 422, "/price"),
    Case("1e400", price("1e400"), 422, "/price"),
    Case("an exponent without end", price("1e" + "9" * 1000), 422, "/price"),
    Case("25 digits", price("9" * 25), 422, "/price"),
    Case("1,000 digits", price("9" * 1000), 422, "/price"),
    Case("60,000 digits", price("9" * 60_000), 422, "/price"),
    Case("leading zero", price("01"), 400),
    Case("latitude 91", order(pickup={"lat": 91, "lng": 0}), 422, "/pickup/lat"),
    Case("longitude 181", order(dropoff={"lat": 1, "lng": 181}), 422, "/dropoff/lng"),
    Case("null island", order(pickup={"lat": 0, "lng": 0}), 422, "/pickup"),
    Case("pickup as array", order(pickup=[1, 2]), 422, "/pickup"),
    Case("deep body", DEEP, 422, ""),
    Case("deep value", b'{"price":' + DEEP + b',"tax":1}', 422, "/price"),
    Case("deep unknown field", b'{"x":' + DEEP + b',"price":1,"tax":1}', 422, "/x"),
    Case("deep objects", b'{"pickup":' * 5000 + b"1" + b"}" * 5000, 422, "/pickup/pickup"),
    Case("unknown field", order(status="DELIVERED"), 422, "/status"),
    Case("unknown nested field", order(pickup={"lat": 1, "lng": 2, "a/b~": 3}), 422, "/pickup/a~1b~0"),
    Case("unknown field with a long name", order(**{"x" * 60_000: 1}), 422, "/" + "x" * 64),
    Case("array", b"[]", 422, ""),
    Case("null", b"null", 422, ""),
    Case("string", b'"order"', 422, ""),
    Case("empty", b"", 400),
    Case("not JSON", b"price=1&tax=1", 400),
    Case("cut short", b'{"price":1,"tax":', 400),
    Case("two values", b'{"price":1,"tax":1} {}', 400),
    Case("a byte order mark", b"\xef\xbb\xbf" + order(), 400),
    Case("UTF-16", order().decode().encode("utf-16"), 400),
    Case("invalid UTF-8 value", b'{"id":"\xff","price":1,"tax":1}', 400),
    Case("invalid UTF-8 name", b'{"\xff":1,"price":1,"tax":1}', 400),
    Case("encoded surrogate", b'{"id":"\xed\xa0\x80","price":1,"tax":1}', 400),
    Case("lone surrogate", b'{"id":"\\ud800","price":1,"tax":1}', 400),
    Case("lone surrogate as a name", b'{"\\udfff":"a","price":1,"tax":1}', 400),
    Case("empty id", order(id=""), 422, "/id"),
    Case("NUL in the id", order(id="o\0"), 422, "/id"),
    Case("newline after the id", order(id="o-1\n"), 422, "/id"),
    Case("bidi override in the id", order(id="o\u202e1"), 422, "/id"),
    Case("full-width digits in the id", order(id="\uff11"), 422, "/id"),
    Case("dot as the id", order(id="."), 422, "/id"),
    Case("two dots as the id", order(id=".."), 422, "/id"),
    Case("two dots as the customer", order(customer_id=".."), 422, "/customer_id"),
    Case("slash in the id", order(id="../o"), 422, "/id"),
    Case("long id", order(id="o" * 65), 422, "/id"),
    Case("empty reference", order(reference=""), 422, "/reference"),
    Case("number as reference", order(reference=1001), 422, "/reference"),
    Case("long reference", order(reference="x" * 65), 422, "/reference"),
    Case("bidi override in the reference", order(reference="A\u202e1"), 422, "/reference"),
    Case("items as an object", order(items={}), 422, "/items"),
    Case("item without quantity", order(items=[{"name": "x"}]), 422, "/items/0/quantity"),
    Case("item with a price", order(items=[{"name": "x", "quantity": 1, "price": 2}]), 422, "/items/0/price"),
    Case(
        "half an item",
        order(items=[{"name": "x", "quantity": 1}, {"name": "x", "quantity": 0.5}]),
        422,
        "/items/1/quantity",
    ),
    Case("no items of a kind", order(items=[{"name": "x", "quantity": 0}]), 422, "/items/0/quantity"),
    Case("too many of a kind", order(items=[{"name": "x", "quantity": 1000}]), 422, "/items/0/quantity"),
    Case("NUL in an item", order(items=[{"name": "x\0", "quantity": 1}]), 422, "/items/0/name"),
    Case("51 items", order(items=[{"name": "x", "quantity": 1}] * 51), 422, "/items"),
    Case("number as metadata", order(metadata={"a": 1}), 422, "/metadata"),
    Case("nested metadata", order(metadata={"a": {"b": "c"}}), 422, "/metadata"),
    Case("NUL in metadata", order(metadata={"a": "\0"}), 422, "/metadata"),
    Case("21 pairs of metadata", order(metadata={str(n): "" for n in range(21)}), 422, "/metadata"),
    Case("140 KB", order(id="o" * 140_000), 413),
    Case("1 MB", b"x" * 1_000_000, 413),
]


async def test_accepts_a_long_number_that_is_a_whole_number_of_cents(client: httpx.AsyncClient) -> None:
    response = await client.post(ORDERS, content=price("1.50000000000000000000"), headers=JSON)

    assert (response.status_code, response.json()["price"]) == (201, 1.5)


ALL_FAULTS: list[tuple[str, str, bytes, list[str]]] = [
    ("POST", ORDERS, b"{}", ["/price", "/tax"]),
    ("POST", ORDERS, b'{"id":"a b","price":-1,"tax":"x","z/":1}', ["/id", "/price", "/tax", "/z~1"]),
    ("POST", ORDERS, b'{"price":0,"tax":1.001,"id":"a b"}', ["/price", "/tax", "/id"]),
    ("POST", ORDERS, b'{"price":1,"tax":-1,"pickup":{"lat":0,"lng":0},"dropoff":{"lat":91}}',
     ["/tax", "/pickup", "/dropoff/lat", "/dropoff/lng"]),
    ("POST", ORDERS, b'{"price":99999999.99,"tax":0.01}', ["/price"]),
    ("PUT", "/api/v1/drivers/ana", b'{"name":" ","on_duty":1}', ["/name", "/on_duty"]),
    ("PUT", "/api/v1/drivers/ana/position", b'{"lat":91,"lng":181,"recorded_at":"2999-01-01T00:00:00Z"}',
     ["/lat", "/lng", "/recorded_at"]),
    ("PUT", "/api/v1/drivers/ana/position", b'{"lat":"1","recorded_at":"2026-01-31T12:00:60Z"}',
     ["/lat", "/recorded_at", "/lng"]),
    ("POST", "/api/v1/parked/replay", b'{"filter":{"queue":"a b","reason":"x"},"expected_count":-1}',
     ["/filter/queue", "/filter/reason", "/expected_count"]),
    ("POST", "/api/v1/parked/replay", b'{"filter":{"queue":"a b","fingerprint":"\xc3\xa9"},"expected_count":1}',
     ["/filter/queue", "/filter/fingerprint"]),
    ("POST", ORDERS, b'{' + b",".join(b'"z%d":1' % n for n in range(30)) + b"}", [f"/z{n}" for n in range(20)]),
]  # fmt: skip


async def test_reports_all_faults_of_a_body_at_once(client: httpx.AsyncClient, world: World) -> None:
    for method, path, body, pointers in ALL_FAULTS:
        response = await client.request(method, path, content=body, headers=JSON)

        problem = await rejected(response, world)
        assert response.status_code == 422
        assert [fault["pointer"] for fault in response.json()["errors"]] == pointers, problem


@pytest.mark.parametrize(
    ("time", "status"),
    [("2016-12-31T23:59:60Z", 204), ("2016-12-31T23:59:61Z", 422), ("2016-12-30T23:59:60Z", 422)],
)
async def test_accepts_a_leap_second_where_rfc_3339_does(
    client: httpx.AsyncClient, world: World, time: str, status: int
) -> None:
    await world.fleet.map.register(Driver("ana", "Ana"))
    body = {"lat": 1, "lng": 2, "recorded_at": time}

    response = await client.put("/api/v1/drivers/ana/position", json=body)

    assert response.status_code == status


def test_rejects_a_body_that_is_nested_too_deeply() -> None:
    # As deep as a body can be: Python 3.13 and later can decode a depth of 5,000.
    with pytest.raises(MalformedJson, match="nested too deeply"):
        decode_body(b"[" * BODY_BYTES_MAX, object)


async def rejected(response: httpx.Response, world: World) -> dict[str, object]:
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["type"].startswith("/problems/")
    assert world.orders.rows == {}
    return problem


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_rejects_an_invalid_order(client: httpx.AsyncClient, world: World, case: Case) -> None:
    response = await client.post(ORDERS, content=case.body, headers=JSON)

    problem = await rejected(response, world)
    assert response.status_code == case.status
    if case.pointer is not None:
        assert [fault["pointer"] for fault in response.json()["errors"]] == [case.pointer], problem
    assert len(response.content) < 1000


@pytest.mark.parametrize(
    "media_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", "a" * 5000],
)
async def test_accepts_only_json(client: httpx.AsyncClient, world: World, media_type: str) -> None:
    response = await client.post(ORDERS, content=order(), headers={"Content-Type": media_type} if media_type else {})

    await rejected(response, world)
    assert response.status_code == 415


@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON; charset=utf-8"])
async def test_accepts_any_spelling_of_the_json_media_type(client: httpx.AsyncClient, media_type: str) -> None:
    response = await client.post(ORDERS, content=order(), headers={"Content-Type": media_type})

    assert response.status_code == 201


async def test_the_last_value_of_a_duplicate_key_counts(client: httpx.AsyncClient) -> None:
    response = await client.post(ORDERS, content=b'{"price":1,"tax":1,"price":2}', headers=JSON)

    assert (response.status_code, response.json()["price"]) == (201, 2)


@pytest.mark.parametrize(
    "path_id", ["%00", "o%0a", "o%0d%0aX: y", "%e2%80%ae", "%ff", "o" * 65, "%20", "o%00x", "%2e", ".%2E", "o;x"]
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "orders/{}"), ("POST", "orders/{}/cancel"), ("GET", "drivers/{}")]
)
async def test_rejects_an_invalid_id_in_the_path(
    client: httpx.AsyncClient, world: World, method: str, path: str, path_id: str
) -> None:
    response = await client.request(method, "/api/v1/" + path.format(path_id))

    problem = await rejected(response, world)
    assert (response.status_code, problem["type"]) == (422, "/problems/invalid")


async def test_three_dots_are_an_id(client: httpx.AsyncClient) -> None:
    created = await client.post(ORDERS, json={"id": "...", "price": 1, "tax": 0})

    assert (await client.get(created.headers["location"])).json() == created.json()


async def test_dot_segments_reach_no_other_route(listening: Listening, world: World) -> None:
    await world.orders.add(an_order("o-1"))
    for segment in (b"..", b".", b"%2e%2e"):
        head = b"POST /api/v1/orders/o-1/x/%s/cancel HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % segment
        assert (await exchange(listening.port, head)).startswith(b"HTTP/1.1 404 ")
        assert (await exchange(listening.port, head.replace(b"o-1/x/", b""))).startswith(b"HTTP/1.1 422 ")
    assert world.orders.rows["o-1"].status is Status.PENDING


@pytest.mark.parametrize("content", [b"{}", b'{"note":"x"}', b" ", b"photo", b"[]"])
@pytest.mark.parametrize("headers", [JSON, {}, {"Content-Type": "image/jpeg"}])
async def test_refuses_a_body_of_a_request_that_has_none(
    client: httpx.AsyncClient, world: World, content: bytes, headers: dict[str, str]
) -> None:
    await world.orders.add(an_order("o-1"))

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    for path in ("orders/o-1/cancel", "orders/o-1/deliver", "orders/o-1/redispatch", "parked/1/replay"):
        for sent in (content, chunks()):
            response = await client.post(f"/api/v1/{path}", content=sent, headers=headers)

            assert response.status_code == 422, path
            assert response.json()["errors"] == [{"detail": "must be left out: this request has none", "pointer": ""}]
    assert (await client.request("GET", f"{ORDERS}/o-1", content=content)).status_code == 422
    assert world.orders.rows["o-1"].status is Status.PENDING


@pytest.mark.parametrize("path", ["orders", "drivers/ana", "drivers/positions", "parked/replay"])
@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "GZIP"])
async def test_refuses_a_compressed_body(client: httpx.AsyncClient, world: World, path: str, coding: str) -> None:
    method = "PUT" if path == "drivers/ana" else "POST"

    response = await client.request(
        method, f"/api/v1/{path}", content=order(), headers={**JSON, "Content-Encoding": coding}
    )

    problem = await rejected(response, world)
    assert (problem["status"], problem["type"]) == (415, "/problems/unsupported-media-type")
    assert response.headers["accept-encoding"] == "identity"


async def test_accepts_the_coding_identity(client: httpx.AsyncClient) -> None:
    response = await client.post(ORDERS, content=order(), headers={**JSON, "Content-Encoding": "Identity"})

    assert response.status_code == 201


async def test_accepts_an_empty_body(client: httpx.AsyncClient, world: World) -> None:
    await world.orders.add(an_order("o-1"))

    async def nothing() -> AsyncIterator[bytes]:
        for _ in ():
            yield b""

    assert (await client.post(f"{ORDERS}/o-1/cancel", content=nothing())).status_code == 200
    assert (await client.post(f"{ORDERS}/o-1/cancel", headers=JSON, content=b"")).status_code == 200


NOT_CANONICAL = [
    b"//api/v1/orders", b"/api//v1/orders", b"/api/v1/orders//", b"/api/v1//orders", b"/api%2Fv1/orders",
    b"/api/v1/orders%2f", b"/api/v1/orders;x", b"/api;x/v1/orders", b"/api/v1/orders%20", b"/./api/v1/orders",
    b"/api/v1/x/../orders", b"/API/v1/orders", b"http://x//api/v1/orders", b"*", b"/api/v1/orders%00",
]  # fmt: skip


async def test_a_path_has_one_spelling(listening: Listening, world: World) -> None:
    body = order()
    for path in NOT_CANONICAL:
        response = await exchange(listening.port, post_head(len(body), path), body)
        assert response.startswith(b"HTTP/1.1 404 "), path
        assert b"/problems/not-found" in response
    assert world.orders.rows == {}
    for number, path in enumerate([b"/api/v1/orders", b"/api/v1/orders/", b"http://x/api/v1/orders"]):
        body = order(id=f"o-{number}")
        response = await exchange(listening.port, post_head(len(body), path), body)
        assert response.startswith(b"HTTP/1.1 201 "), path


async def test_expect_100_continue_with_a_large_body_is_answered_413_at_once(
    listening: Listening, world: World
) -> None:
    head = post_head(2_000_000_000).replace(b"Host: x", b"Host: x\r\nExpect: 100-continue")

    async with asyncio.timeout(5):
        response = await exchange(listening.port, head)

    assert response.startswith(b"HTTP/1.1 413 ")  # not 100 Continue
    assert b"connection: close" in response.lower()


@pytest.mark.parametrize("path_id", ["%00", "o%0a", "%e2%80%ae", "o" * 65, "%2e", "%2E%2e"])
async def test_stores_no_driver_with_an_invalid_id(client: httpx.AsyncClient, world: World, path_id: str) -> None:
    responses = [
        await client.put(f"/api/v1/drivers/{path_id}", json={"name": "Ana"}),
        await client.put(f"/api/v1/drivers/{path_id}/position", json={"lat": 1, "lng": 2}),
    ]

    assert [response.status_code for response in responses] == [422, 422]
    assert (world.drivers.rows, world.fleet.drivers, world.fleet.positions) == ({}, [], [])


DRIVER_FAULTS: list[tuple[dict[str, object], str]] = [
    ({}, "/name"),
    ({"name": ""}, "/name"),
    ({"name": " "}, "/name"),
    ({"name": "a\0"}, "/name"),
    ({"name": "a\u202eb"}, "/name"),
    ({"name": "a" * 101}, "/name"),
    ({"name": 5}, "/name"),
    ({"name": "Ana", "on_duty": "yes"}, "/on_duty"),
    ({"name": "Ana", "on_duty": 1}, "/on_duty"),
    ({"name": "Ana", "id": "bia"}, "/id"),
]


@pytest.mark.parametrize(("body", "pointer"), DRIVER_FAULTS)
async def test_rejects_an_invalid_driver(
    client: httpx.AsyncClient, world: World, body: dict[str, object], pointer: str
) -> None:
    response = await client.put("/api/v1/drivers/ana", json=body)

    assert response.status_code == 422
    assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]
    assert (world.drivers.rows, world.fleet.drivers) == ({}, [])


POSITION_FAULTS: list[tuple[dict[str, object], str]] = [
    ({"lat": 1}, "/lng"),
    ({"lat": 90, "lng": 2}, "/lat"),
    ({"lat": 1, "lng": -181}, "/lng"),
    ({"lat": 0, "lng": 0}, ""),
    ({"lat": "1", "lng": 2}, "/lat"),
    ({"lat": 1, "lng": 2, "recorded_at": "2999-01-01T00:00:00Z"}, "/recorded_at"),
    ({"lat": 1, "lng": 2, "recorded_at": "2024-01-01T00:00:00"}, "/recorded_at"),
    ({"lat": 1, "lng": 2, "recorded_at": "9999-12-31T23:59:59-05:00"}, "/recorded_at"),
    ({"lat": 1, "lng": 2, "recorded_at": 1700000000}, "/recorded_at"),
    ({"lat": 1, "lng": 2, "speed": 3}, "/speed"),
]


@pytest.mark.parametrize(("body", "pointer"), POSITION_FAULTS)
async def test_rejects_an_invalid_position(
    client: httpx.AsyncClient, world: World, body: dict[str, object], pointer: str
) -> None:
    response = await client.put("/api/v1/drivers/ana/position", json=body)

    assert response.status_code == 422
    assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]
    assert world.fleet.positions == []


async def test_rejects_a_chunked_body_that_exceeds_the_limit(client: httpx.AsyncClient, world: World) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 10_000

    response = await client.post(ORDERS, content=chunks(), headers=JSON)

    await rejected(response, world)
    assert response.status_code == 413


async def test_rejects_a_large_content_length_without_reading_the_body(listening: Listening, world: World) -> None:
    response = await exchange(listening.port, post_head(99_999_999_999), b" " * 2_000_000)

    assert response.startswith(b"HTTP/1.1 413 ")
    assert b"/problems/too-large" in response
    assert world.orders.rows == {}


async def test_a_client_that_sends_the_whole_body_first_receives_the_rejection(
    listening: Listening, client: httpx.AsyncClient
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
    writer.write(post_head(500_000))
    for _ in range(10):
        writer.write(b" " * 50_000)
        await writer.drain()  # raises if the server has closed the connection
        await client.get("/health/live")  # gives the server time to close it
    async with asyncio.timeout(5):
        response = await reader.read()
    writer.close()

    assert response.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("body_seconds", [0.5])
async def test_rejects_a_body_that_arrives_too_slowly(listening: Listening, world: World) -> None:
    response = await exchange(listening.port, post_head(50), b'{"id"')

    assert response.startswith(b"HTTP/1.1 408 ")
    assert b"/problems/too-slow" in response
    assert b"connection: close" in response
    assert world.orders.rows == {}


async def test_a_client_that_disconnects_during_its_body_causes_no_error_log(
    listening: Listening, world: World
) -> None:
    with logged() as lines:
        response = await exchange(listening.port, post_head(50), b'{"price":1,"tax":1}', half_close=True)

    assert response.startswith(b"HTTP/1.1 400 ")
    assert b"/problems/incomplete" in response
    assert lines == []
    assert world.orders.rows == {}


SMUGGLED = b"GET /api/v1/orders/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "request_head",
    [
        POST + b"Host: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Host: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
        POST + b"Host: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        POST + b"Host: x\r\nContent-Length : 4\r\n\r\n",
        POST + b"Host: x\r\nX: a\0b\r\n\r\n",
    ],
    ids=["both lengths", "two lengths", "odd coding", "space before the colon", "NUL in a header"],
)
async def test_closes_the_connection_of_an_ambiguous_request(
    listening: Listening, world: World, request_head: bytes
) -> None:
    response = await exchange(listening.port, request_head, SMUGGLED)

    assert response.startswith(b"HTTP/1.1 4")
    assert response.count(b"HTTP/1.1") == 1
    assert world.orders.rows == {}
