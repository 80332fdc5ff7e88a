"""Validation of the Host header, and requests that servers could delimit differently."""

from __future__ import annotations

import httpx
import pytest

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.server import Listening, serving
from tests.roles.conftest import World
from tests.roles.raw import exchange

BODY = b'{"id":"o-1","price":10,"tax":1}'
HEAD = b"POST /api/v1/orders HTTP/1.1\r\n"
MORE = b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(BODY)


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"Host:\r\n",
        b"Host: a\r\nHost: b\r\n",
        b"Host: a\r\nHost: a\r\n",
        b"Host: a/b\r\n",
        b"Host: a b\r\n",
        b"Host: user@a\r\n",
        b"Host: a:80:80\r\n",
        b"Host: a:x\r\n",
        b"Host: [::1\r\n",
        b"Host: \xff\r\n",
        b"Host: " + b"a" * 300 + b"\r\n",
    ],
)
async def test_a_request_without_exactly_one_host_is_refused(listening: Listening, world: World, host: bytes) -> None:
    answer = await exchange(listening.port, HEAD + host + MORE + BODY)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert world.orders.rows == {}


@pytest.mark.parametrize("host", [b"a", b"api.example.com:8000", b"127.0.0.1:1", b"[::1]:65535", b"my_service"])
async def test_without_a_list_any_single_host_is_accepted(listening: Listening, host: bytes) -> None:
    answer = await exchange(listening.port, HEAD + b"Host: " + host + b"\r\n" + MORE + BODY)

    assert answer.startswith(b"HTTP/1.1 201 ")


async def test_http_1_0_needs_no_host(listening: Listening) -> None:
    answer = await exchange(listening.port, b"GET /health/live HTTP/1.0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.0 200 ")


@pytest.mark.parametrize(
    ("host", "status"), [(b"api.example.com", 201), (b"API.example.com:8000", 201), (b"evil.example", 421)]
)
async def test_with_a_list_only_its_names_are_accepted(world: World, host: bytes, status: int) -> None:
    app = api_app(world.api(), allowed_hosts={"api.example.com"})
    async with serving(app, "127.0.0.1", 0, grace_seconds=2) as listening:
        answer = await exchange(listening.port, HEAD + b"Host: " + host + b"\r\n" + MORE + BODY)

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert (b"/problems/misdirected" in answer) == (status == 421)
    assert len(world.orders.rows) == (status == 201)


async def test_bare_line_feeds_smuggle_no_second_request(listening: Listening, world: World) -> None:
    """RFC 9112, 2.2 lets a server accept a bare LF as the end of a line; but it must not delimit the request
    differently from a proxy that does not accept it."""
    head = (HEAD + b"Host: x\r\n" + MORE).replace(b"\r\n", b"\n")

    answer = await exchange(listening.port, head + BODY)

    assert answer.count(b"HTTP/1.1") == 1
    assert answer.startswith((b"HTTP/1.1 201 ", b"HTTP/1.1 400 "))


@pytest.mark.parametrize(
    "body",
    [
        b"1f\n" + BODY + b"\n0\n\n",
        b"1f;x=\n" + BODY + b"\r\n0\r\n\r\n",
        b"1f\r" + BODY + b"\r\n0\r\n\r\n",
        b"0x1f\r\n" + BODY + b"\r\n0\r\n\r\n",
        b"-1\r\n" + BODY + b"\r\n0\r\n\r\n",
        b"1ffffffffffffffff\r\n" + BODY + b"\r\n0\r\n\r\n",
        b"1f \r\n\r\n" + BODY + b"\r\n0\r\n\r\n",
    ],
    ids=["bare LF", "LF in an extension", "bare CR", "0x", "negative", "overflow", "odd size"],
)
async def test_ambiguous_chunks_are_refused(listening: Listening, world: World, body: bytes) -> None:
    head = HEAD + b"Host: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    smuggled = b"GET /api/v1/orders/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

    answer = await exchange(listening.port, head + body + smuggled)

    assert answer.count(b"HTTP/1.1") <= 1
    assert b"HTTP/1.1 2" not in answer
    assert world.orders.rows == {}


async def test_a_thousand_headers_are_refused(listening: Listening, world: World) -> None:
    flood = b"".join(b"X-%d: y\r\n" % number for number in range(1000))

    answer = await exchange(listening.port, HEAD + b"Host: x\r\n" + flood + MORE + BODY)

    assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))
    assert world.orders.rows == {}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://x:81"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://x", "Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": "HTTP://X"}, 201),
        ({"Sec-Fetch-Site": "none"}, 201),
        ({}, 201),
    ],
)
async def test_without_authentication_a_page_of_another_origin_cannot_write(
    client: httpx.AsyncClient, world: World, headers: dict[str, str], status: int
) -> None:
    response = await client.post("/api/v1/orders", json={"price": 1, "tax": 0}, headers={"Host": "x", **headers})

    assert response.status_code == status
    assert len(world.orders.rows) == (status == 201)
    assert (await client.get("/api/v1/orders", headers={"Host": "x", **headers})).status_code == 200
