"""`gofleet orders` against the real API over memory, and what it asks of routes to come."""

from __future__ import annotations

import json

import pytest

from gofleet.domain.driver import Driver
from gofleet.domain.order import Status
from tests.cli.desk import Desk
from tests.cli.told import Told, problem
from tests.cli.typed import three_lines
from tests.makers import an_order

MOVED = {
    "order_id": "o-1",
    "sequence": 2,
    "type": "orders.dispatched",
    "status": "DISPATCHED",
    "driver_id": "ana\x1b[31m",
    "reason": None,
    "actor": "worker",
    "at": "2026-01-31T12:00:00Z",
    "trace_id": None,
}


async def test_an_order_is_created_once(desk: Desk) -> None:
    words = ["orders", "create", "--id", "o-1", "--price", "100.10", "--tax", "10", "--pickup", "-23.55,-46.63"]

    assert await desk.types(*words, "--json") == 0
    [order] = desk.lines()
    assert order == order | {"id": "o-1", "final_price": 110.1, "pickup": {"lat": -23.55, "lng": -46.63}}
    assert await desk.types(*words) == 0
    assert "PENDING" in desk.said
    assert await desk.types(*words, "--dropoff", "1,1") == 1
    assert three_lines(desk.complained) == ["error", "why", "fix"]
    assert "belongs to another order" in desk.complained
    assert await desk.types("orders", "create", "--price", "1", "--tax", "0", "--json") == 0
    assert len(desk.lines()[0]["id"]) == 36


async def test_orders_are_listed_and_shown(desk: Desk) -> None:
    for n in range(3):
        await desk.world.orders.add(an_order(f"o-{n}"))
    await desk.world.orders.add(an_order("o-manual", Status.MANUAL_DISPATCH))

    assert await desk.types("orders", "list", "--json") == 0
    assert [line["id"] for line in desk.lines()] == ["o-manual", "o-2", "o-1", "o-0"]
    for name in ("manual-dispatch", "MANUAL_DISPATCH"):
        assert await desk.types("orders", "list", "--status", name, "--json") == 0
        assert [line["id"] for line in desk.lines()] == ["o-manual"]
    assert await desk.types("orders", "list", "--created-after", "2999-01-01", "--json") == 0
    assert desk.said == ""
    assert await desk.types("orders", "list", "--limit", "2") == 0
    assert "there are more" in desk.said
    assert await desk.types("orders", "get", "o-manual") == 0
    assert "no_driver" in desk.said
    assert await desk.types("orders", "get", "o-manual", "--json") == 0
    assert desk.lines()[0]["status"] == "MANUAL_DISPATCH"


async def test_people_move_orders(desk: Desk) -> None:
    await desk.world.drivers.put(Driver("ana", "Ana"))
    await desk.world.orders.add(an_order("o-1", Status.MANUAL_DISPATCH))

    assert await desk.types("orders", "dispatch", "o-1", "ana", "--if-match", "1") == 1
    assert "version" in desk.complained
    assert await desk.types("orders", "dispatch", "o-1", "ana", "--json") == 0
    assert "order o-1 is MANUAL_DISPATCH (no_driver), version 2; it goes to ana" in desk.complained
    assert [(line["status"], line["driver_id"]) for line in desk.lines()] == [("DISPATCHED", "ana")]
    assert await desk.types("orders", "deliver", "o-1", "--if-match", "2") == 1
    assert await desk.types("orders", "deliver", "o-1", "--if-match", "3") == 0
    assert "DELIVERED" in desk.said
    assert await desk.types("orders", "cancel", "o-1") == 1
    assert "invalid" not in desk.said
    assert "gofleet orders events" in desk.complained


async def test_an_order_is_tried_again_and_called_off(desk: Desk) -> None:
    await desk.world.orders.add(an_order("o-1", Status.MANUAL_DISPATCH))

    assert await desk.types("orders", "redispatch", "o-1", "--json") == 0
    assert desk.lines()[0]["status"] == "PENDING"
    assert await desk.types("orders", "cancel", "o-1", "--json") == 0
    assert desk.lines()[0]["status"] == "CANCELLED"


async def test_the_history_of_an_order_is_told(desk: Desk, told: Told) -> None:
    told.on("GET", "/orders/o-1/events", {"items": [MOVED]})

    assert await desk.types("orders", "events", "o-1", "--url", told.url) == 0
    assert "ana\N{REPLACEMENT CHARACTER}[31m" in desk.said
    assert "\x1b" not in desk.said
    assert await desk.types("orders", "events", "o-1", "--url", told.url, "--json") == 0
    assert "\x1b" not in desk.said
    assert desk.lines() == [MOVED]


async def test_candidates_are_listed(desk: Desk, told: Told) -> None:
    found = {"driver_id": "ana", "name": "Ana", "lat": -23.5, "lng": -46.6, "distance_m": 12.5, "free": True}
    told.on("GET", "/orders/o-1/candidates", {"items": [found]})

    assert await desk.types("orders", "candidates", "o-1", "--radius-km", "2", "--url", told.url) == 0
    assert "12.5" in desk.said
    assert told.asked[0].query == {"limit": "5", "radius_km": "2.0"}


@pytest.mark.parametrize(
    "words",
    [
        ["get", ""],
        ["get", "a/b"],
        ["get", "o-1\n"],
        ["create", "--price", "nan", "--tax", "1"],
        ["create", "--price", "1e3", "--tax", "1"],
        ["create", "--price", "1"],
        ["create", "--price", "1", "--tax", "1", "--pickup", "1"],
        ["create", "--price", "1", "--tax", "1", "--pickup", "91,0"],
        ["create", "--price", "1", "--tax", "1", "--pickup", "0,0"],
        ["create", "--price", "1", "--tax", "1", "--pickup", "nan,1"],
        ["list", "--status", "lost"],
        ["list", "--limit", "0"],
        ["dispatch", "o-1", "ana", "--if-match", "0"],
        ["watch", "--until", "dispatched"],
        ["unheard-of"],
    ],
)
async def test_a_wrong_call_asks_nobody_and_exits_with_2(desk: Desk, told: Told, words: list[str]) -> None:
    assert await desk.types("orders", *words, *([] if words == ["unheard-of"] else ["--url", told.url])) == 2
    assert three_lines(desk.complained) == ["error", "why", "fix"]
    assert desk.said == ""
    assert told.asked == []


@pytest.mark.parametrize(("status", "code"), [(404, 1), (409, 1), (422, 1), (500, 1), (503, 3)])
async def test_a_refusal_is_told_with_its_title_detail_and_what_to_do(
    desk: Desk, told: Told, status: int, code: int
) -> None:
    told.on("GET", "/orders/o-1", problem(status, "strange", "Something\x1b[2J", "is\x07 wrong"), status)

    assert await desk.types("orders", "get", "o-1", "--url", told.url) == code
    what, why, fix = desk.complained.strip().splitlines()
    assert what == "error: Something\N{REPLACEMENT CHARACTER}[2J"
    assert why == "  why: is\N{REPLACEMENT CHARACTER} wrong"
    assert fix.startswith("  fix: ")


async def test_what_is_escaped_in_json_means_the_same(desk: Desk, told: Told) -> None:
    said = {"id": "\x9b31m\u202e\U000e0001 \x1b", "version": 1}
    told.on("GET", "/orders/o-1", said)

    assert await desk.types("orders", "get", "o-1", "--json", "--url", told.url) == 0
    assert desk.said.strip().isprintable()
    assert json.loads(desk.said) == said
