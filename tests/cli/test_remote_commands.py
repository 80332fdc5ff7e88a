"""The commands that talk to a running API, as a person would type them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gofleet.adapters.http.asgi import Receive, Scope, Send, respond
from gofleet.adapters.http.server import serving
from gofleet.domain.errors import Malformed, MessageRefused, OrderNotFound
from gofleet.domain.messages import FLEET_QUEUE
from gofleet.domain.parked import Stage
from gofleet.testing.orders import MemoryOutbox
from tests.cli.desk import Desk
from tests.cli.typed import three_lines
from tests.makers import an_order
from tests.roles.conftest import World


async def test_parked_messages_are_listed_grouped_and_shown(desk: Desk) -> None:
    for n in range(3):
        await desk.park(f"o-{n}", OrderNotFound(f"o-{n}"))
    await desk.park("broken", Malformed("[red]no\x1b[31m JSON"), FLEET_QUEUE, body=b"\x1b]0;mine\x07[b]")

    assert await desk.types("parked", "list", "--json") == 0
    assert [line["id"] for line in desk.lines()] == [4, 3, 2, 1]
    assert await desk.types("parked", "list", "--reason", "no-such-order", "--limit", "2", "--json") == 0
    assert [line["order_id"] for line in desk.lines()] == ["o-2", "o-1"]
    assert await desk.types("parked", "list") == 0
    assert "[red]no\N{REPLACEMENT CHARACTER}[31m JSON" in desk.said
    assert "\x1b" not in desk.said
    assert await desk.types("parked", "groups", "--json") == 0
    assert [(line["reason"], line["waiting"]) for line in desk.lines()] == [("no-such-order", 3), ("malformed", 1)]
    assert await desk.types("parked", "groups") == 0
    assert "there is no order o-2" in desk.said
    assert await desk.types("parked", "show", "4", "--json") == 0
    assert desk.lines()[0]["body"] == "\x1b]0;mine\x07[b]"
    assert await desk.types("parked", "show", "4") == 0
    assert "]0;mine\N{REPLACEMENT CHARACTER}[b]" in desk.said
    assert "\x1b" not in desk.said


async def test_one_or_exactly_so_many_are_replayed(desk: Desk) -> None:
    for n in range(3):
        await desk.park(f"o-{n}", OrderNotFound(f"o-{n}"))
    fingerprint = desk.world.parked.rows[0].message.fingerprint

    assert await desk.types("parked", "replay", "2") == 0
    assert "message 2 will be put back" in desk.said
    assert desk.stages() == [Stage.WAITING, Stage.REQUESTED, Stage.WAITING]
    assert await desk.types("parked", "replay", "--fingerprint", fingerprint, "--expect", "3") == 1
    assert three_lines(desk.complained) == ["error", "why", "fix"]
    assert "there are 2" in desk.complained
    assert desk.stages() == [Stage.WAITING, Stage.REQUESTED, Stage.WAITING]
    assert await desk.types("parked", "replay", "--fingerprint", fingerprint, "--expect", "2", "--json") == 0
    assert desk.lines() == [{"requested": 2}]
    assert desk.stages() == [Stage.REQUESTED] * 3


async def test_failed_events_are_listed_and_tried_again(desk: Desk) -> None:
    await desk.world.orders.add(an_order("o-1"))
    async with MemoryOutbox(desk.world.orders, max_attempts=1).claiming(9) as claim:
        await claim.settle([MessageRefused("no queue")])

    assert await desk.types("outbox", "list") == 0
    assert "o-1" in desk.said
    assert await desk.types("outbox", "list", "--json") == 0
    assert desk.lines()[0]["error"] == "no queue"
    assert await desk.types("outbox", "retry", "--expect", "2") == 1
    assert "there are 1" in desk.complained
    assert await desk.types("outbox", "retry", "--expect", "1") == 0
    assert await desk.types("outbox", "list", "--json") == 0
    assert desk.said == ""


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["parked", "show", "7"], 1, "there is no parked message 7"),
        (["parked", "replay", "7"], 1, "gofleet parked list"),
        (["parked", "replay"], 2, "not clear what to replay"),
        (["parked", "replay", "7", "--expect", "1"], 2, "not clear what to replay"),
        (["parked", "replay", "7", "--queue", "orders.created"], 2, "not clear what to replay"),
        (["parked", "replay", "--fingerprint", "x"], 2, "not clear what to replay"),
        (["parked", "list", "--queue", "no queue"], 1, "queue must be"),
        (["parked", "list", "--url", "http://127.0.0.1:1"], 3, "no answer from http://127.0.0.1:1"),
        (["parked", "list", "--url", "nonsense"], 3, "no answer from nonsense"),
        (["outbox", "retry", "--expect", "-1"], 1, "expected_count"),
    ],
)
async def test_what_goes_wrong_is_told_in_three_lines(desk: Desk, words: list[str], code: int, says: str) -> None:
    assert await desk.types(*words) == code
    assert three_lines(desk.complained) == ["error", "why", "fix"]
    assert says in desk.complained
    assert desk.said == ""


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
async def test_who_is_no_gofleet_is_told_in_three_lines(tmp_path: Path, body: bytes) -> None:
    async def somebody_else(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, "text/html", body)

    async with serving(somebody_else, "127.0.0.1", 0, grace_seconds=2) as listening:
        desk = Desk(World(), listening.url, tmp_path)
        assert await desk.types("parked", "list") == 3
    assert three_lines(desk.complained) == ["error", "why", "fix"]
    assert "there is no GoFleet at" in desk.complained
