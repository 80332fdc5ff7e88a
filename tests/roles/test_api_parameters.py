"""Parameters of the path and the query: unknown, repeated and invalid ones are refused, all in one response."""

from __future__ import annotations

from typing import NamedTuple

import httpx
import pytest

from gofleet.adapters.http.app import PREFIX, openapi_document
from tests.roles.conftest import World

ORDERS, DRIVERS, STREAM = f"{PREFIX}/orders", f"{PREFIX}/drivers", f"{PREFIX}/orders/stream"


def faults(response: httpx.Response) -> dict[str, str]:
    """Parameter or pointer -> what is wrong with it."""
    assert response.status_code == 422, response.text
    return {fault.get("parameter", fault.get("pointer", "")): fault["detail"] for fault in response.json()["errors"]}


async def test_every_route_refuses_an_unknown_parameter(client: httpx.AsyncClient, world: World) -> None:
    """Also routes without parameters, with a body, and of documentation; the parameter need not have a value."""
    routes = [
        (method.upper(), path, {"price": 1, "tax": 0} if "requestBody" in operations[method] else None)
        for path, operations in openapi_document()["paths"].items()
        if path.startswith(PREFIX)
        for method in operations
    ]
    routes += [("GET", f"{PREFIX}/{path}", None) for path in ("docs", "docs/page.js", "openapi.json")]
    for method, path, body in routes:
        filled = path.replace("{parked_id}", "1").replace("{order_id}", "o-1").replace("{driver_id}", "ana")
        for query in ("zzz=1", "zzz=", "zzz", "caller=x", "Limit=5", "%00=1", "=1"):
            response = await client.request(method, f"{filled}?{query}", json=body)
            assert len(faults(response)) == 1, (method, path, query)
    assert (world.orders.rows, world.drivers.rows) == ({}, {})


@pytest.mark.parametrize(
    ("path", "parameter", "detail"),
    [
        (f"{ORDERS}?staus=PENDING", "staus", "did you mean status?"),
        (f"{ORDERS}?created_before=2026-01-01T00:00:00Z", "created_before", "did you mean created_after?"),
        (f"{ORDERS}?STATUS=PENDING", "STATUS", "did you mean status?"),
        (f"{ORDERS}?page=2", "page", "(it has status, driver_id, reference, created_after, cursor, limit)"),
        (f"{PREFIX}/slo?window=1", "window", "is not a parameter of this route, which has none"),
        (f"{PREFIX}/parked?stage=waiting", "stage", "did you mean state?"),
        (f"{ORDERS}/o-1/candidates?radius=1", "radius", "did you mean radius_km?"),
    ],
)
async def test_proposes_the_parameter_that_was_meant(
    client: httpx.AsyncClient, path: str, parameter: str, detail: str
) -> None:
    found = faults(await client.get(path))

    assert list(found) == [parameter]
    assert detail in found[parameter]


class Case(NamedTuple):
    path: str
    parameters: list[str]
    detail: str = ""


CASES = [
    Case(f"{ORDERS}?status=PENDING&status=PENDING", ["status"], "must be given once"),
    Case(f"{STREAM}?order_id=a&order_id=b", ["order_id"], "must be given once"),
    Case(f"{ORDERS}?status=", ["status"], "must not be empty; leave it out"),
    Case(f"{ORDERS}?cursor", ["cursor"], "must not be empty; leave it out"),
    Case(f"{STREAM}?type=&type=orders.created", ["type"], "must not be empty; leave it out"),
    Case(f"{STREAM}?last_event_id=", ["last_event_id"], "must not be empty; leave it out"),
    Case(f"{ORDERS}?status=LOST", ["status"], "must be one of PENDING, DISPATCHED, MANUAL_DISPATCH, "),
    Case(f"{STREAM}?type=orders.lost", ["type"], "must be one of orders.created, orders.dispatched"),
    Case(f"{PREFIX}/parked?reason=x", ["reason"], "must be one of "),
    Case(f"{ORDERS}?created_after=2026-01-31T12:00:00+00:00", ["created_after"], "the + of its offset is written %2B"),
    Case(f"{ORDERS}?created_after=2026-01-31T12:00:60Z", ["created_after"], "second 60"),
    Case(f"{ORDERS}?created_after=2026-01-31", ["created_after"], "RFC 3339"),
    Case(f"{ORDERS}?created_after=1700000000", ["created_after"], "RFC 3339"),
    Case(f"{DRIVERS}?bbox=+1,2,3,4", ["bbox"], "+ is written %2B"),
    Case(
        f"{ORDERS}?status=x&limit=0&driver_id=a%20b&created_after=x&z=1",
        ["status", "limit", "driver_id", "created_after", "z"],
    ),
    Case(f"{ORDERS}/a%20b/candidates?limit=0&radius_km=x", ["limit", "radius_km", "order_id"]),
    Case(f"{ORDERS}?" + "&".join(f"p{n}=1" for n in range(101)), [""], "more than 100 parameters"),
]


async def test_reports_every_invalid_parameter(client: httpx.AsyncClient) -> None:
    for case in CASES:
        found = faults(await client.get(case.path))

        assert list(found) == case.parameters
        assert case.detail in next(iter(found.values())), case


@pytest.mark.parametrize("time", ["2016-12-31T23:59:60Z", "2016-12-31T15:59:60.5-08:00", "2015-06-30t23:59:60z"])
async def test_accepts_a_leap_second(client: httpx.AsyncClient, time: str) -> None:
    assert (await client.get(ORDERS, params={"created_after": time})).status_code == 200


async def test_head_answers_as_get_without_a_body(client: httpx.AsyncClient, world: World) -> None:
    await client.post(ORDERS, json={"id": "o-1", "price": 1, "tax": 0})
    for path in ("orders/o-1", "orders", "orders/none", "orders?x=1", "slo", "drivers", "docs", "openapi.json", "nope"):
        shown, head = await client.get(f"{PREFIX}/{path}"), await client.head(f"{PREFIX}/{path}")

        assert (head.status_code, head.content) == (shown.status_code, b""), path
        for name in ("content-type", "content-length", "etag"):
            if not (name == "content-length" and shown.is_error):  # the request id's length may differ
                assert head.headers.get(name) == shown.headers.get(name), (path, name)
    cached = await client.head(f"{ORDERS}/o-1", headers={"If-None-Match": '"1-gzip"'})
    assert cached.status_code == 304
    refused = await client.head(f"{ORDERS}/o-1/cancel")
    assert (refused.status_code, world.orders.rows["o-1"].version) == (405, 1)


async def test_options_describes_a_path_whatever_the_query(client: httpx.AsyncClient) -> None:
    assert (await client.options(f"{ORDERS}?limit=5&x=1")).status_code == 204
