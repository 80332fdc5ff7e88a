"""Validation of the Host header, and requests that servers could delimit differently."""

from __future__ import annotations

import httpx
import pytest

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.server import Listening, serving
from gofleet.roles.api import allowed_hosts
from gofleet.settings import load
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


@pytest.mark.parametrize(
    ("settings", "name", "status"),
    [
        ({"AUTH": "off"}, "localhost:8000", 200),
        ({"AUTH": "off"}, "LOCALHOST", 200),
        ({"AUTH": "off"}, "127.0.0.1:8000", 200),
        ({"AUTH": "off"}, "[::1]:8000", 200),
        ({"AUTH": "off"}, "evil.example", 421),
        ({"AUTH": "off"}, "localhost.evil.example", 421),
        ({"AUTH": "off"}, "127.0.0.1.evil.example", 421),
        ({"AUTH": "off"}, "192.0.2.1", 421),
        ({"AUTH": "off"}, "0.0.0.0", 421),  # noqa: S104  a name
        ({"AUTH": "off", "WEB_ALLOWED_HOSTS": "gofleet.lan"}, "gofleet.lan", 200),
        ({"AUTH": "off", "WEB_ALLOWED_HOSTS": "gofleet.lan"}, "evil.example", 421),
        ({"AUTH": "oidc"}, "any.example", 200),
    ],
)
async def test_without_authentication_only_names_of_this_machine_are_accepted(
    world: World, settings: dict[str, str], name: str, status: int
) -> None:
    app = api_app(world.api(), allowed_hosts=allowed_hosts(load(settings, dotenv=None)))
    async with serving(app, "127.0.0.1", 0, grace_seconds=2) as listening, httpx.AsyncClient() as client:
        for path in ("/api/v1/orders", "/api/v1/docs", "/api/v1/openapi.json", "/"):
            response = await client.get(listening.url + path, headers={"Host": name, "Accept": "text/html"})
            assert response.status_code == (303 if path == "/" and status == 200 else status)


@pytest.mark.parametrize("path", [b"/health", b"/health/live", b"/health/ready"])
async def test_a_probe_names_no_host_of_the_list(world: World, path: bytes) -> None:
    app = api_app(world.api(), allowed_hosts={"api.example.com"})
    async with serving(app, "127.0.0.1", 0, grace_seconds=2) as listening:
        head = b"GET " + path + b" HTTP/1.1\r\nHost: 10.1.2.3:8000\r\nConnection: close\r\n\r\n"
        assert (await exchange(listening.port, head)).startswith(b"HTTP/1.1 200 ")


METADATA = "/.well-known/oauth-protected-resource"


@pytest.mark.parametrize(
    ("host", "resource"),
    [
        ("localhost:8000", "http://localhost:8000/"),
        ("api.example.com", "http://api.example.com/"),
        ("[::1]:1", "http://[::1]:1/"),
    ],
)
async def test_the_metadata_names_a_host_that_is_known(world: World, host: str, resource: str) -> None:
    app = api_app(world.api(), allowed_hosts={"api.example.com", "localhost", "[::1]"})
    async with serving(app, "127.0.0.1", 0, grace_seconds=2) as listening, httpx.AsyncClient() as client:
        response = await client.get(listening.url + METADATA, headers={"Host": host})

    assert response.json()["resource"] == resource


async def test_the_metadata_repeats_no_unknown_host(client: httpx.AsyncClient) -> None:
    response = await client.get(METADATA, headers={"Host": "evil.example"})

    assert (response.status_code, response.json()["type"]) == (404, "/problems/not-found")
    assert "evil" not in response.text


@pytest.mark.parametrize(("host", "status"), [(b"Host: localhost\r\n", b"200"), (b"", b"421")])
async def test_the_name_in_an_absolute_target_is_used_nowhere(world: World, host: bytes, status: bytes) -> None:
    """Granian passes it on as the Host if there is none, and drops it otherwise."""
    app = api_app(world.api(), allowed_hosts={"localhost"})
    async with serving(app, "127.0.0.1", 0, grace_seconds=2) as listening:
        head = b"GET http://evil.example" + METADATA.encode() + b" HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n"
        answer = await exchange(listening.port, head)

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"evil" not in answer


async def test_the_metadata_names_the_public_url_under_any_host(world: World) -> None:
    app = api_app(world.api(), public_url="https://gofleet.example.com")
    async with serving(app, "127.0.0.1", 0, grace_seconds=2) as listening, httpx.AsyncClient() as client:
        response = await client.get(listening.url + METADATA, headers={"Host": "evil.example"})

    assert response.json()["resource"] == "https://gofleet.example.com"


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
