"""`gofleet orders watch`: nothing is missed and nothing told twice, whatever the connection does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.desk import Desk
from tests.cli.told import BEGIN, HANG, Told, sent
from tests.cli.typed import three_lines


def event(sequence: int, status: str, order_id: str = "o-1", **more: object) -> dict[str, Any]:
    moved = status.lower() if sequence > 1 else "created"
    facts = {"driver_id": None, "reason": None, "actor": "worker", "at": "2026-01-31T12:00:00Z", "trace_id": None}
    said = {"order_id": order_id, "sequence": sequence, "type": f"orders.{moved}", "status": status}
    return {**said, **facts, **more}


CREATED, DISPATCHED = event(1, "PENDING"), event(2, "DISPATCHED", driver_id="ana")
DELIVERED, CANCELLED = event(3, "DELIVERED", driver_id="ana"), event(3, "CANCELLED")


@pytest.fixture
def watched(told: Told) -> Told:
    """A server that knows of one order, just created."""
    told.on("GET", "/orders/o-1/events", {"items": [CREATED]})
    return told


async def test_an_order_is_followed_to_its_end(desk: Desk, watched: Told) -> None:
    watched.streams.append([BEGIN, sent(DISPATCHED, "t1"), b": still here\n\n", sent(DELIVERED, "t2"), HANG])

    assert await desk.types("orders", "watch", "o-1", "--json", "--url", watched.url) == 0
    assert desk.lines() == [CREATED, DISPATCHED, DELIVERED]
    assert watched.asked[0].query == {"order_id": "o-1"}
    assert "last-event-id" not in watched.asked[0].headers


async def test_a_lost_connection_is_made_again_after_what_was_heard(desk: Desk, watched: Told) -> None:
    watched.streams += [
        [BEGIN, sent(DISPATCHED, "t1"), b"id: t9\nevent: orders.deli"],
        503,
        [BEGIN, sent(DISPATCHED, "t1"), sent(DELIVERED, "t2"), HANG],
    ]

    assert await desk.types("orders", "watch", "o-1", "--json", "--url", watched.url) == 0
    assert desk.lines() == [CREATED, DISPATCHED, DELIVERED]
    tokens = [asked.headers.get("last-event-id") for asked in watched.asked_for("/orders/stream")]
    assert tokens == [None, "t1", "t1"]
    assert desk.complained.count("connection lost") == 2


async def test_what_happened_while_nobody_listened_is_in_the_timeline(desk: Desk, told: Told) -> None:
    told.on("GET", "/orders/o-1/events", {"items": [CREATED, DISPATCHED, DELIVERED]})

    assert await desk.types("orders", "watch", "o-1", "--url", told.url) == 0
    assert [line.split("  ")[1] for line in desk.said.splitlines()] == ["o-1"] * 3
    assert "DISPATCHED ana  by worker" in desk.said


@pytest.mark.parametrize(
    ("until", "moves", "code"),
    [
        ("dispatched", [DISPATCHED], 0),
        ("delivered", [DISPATCHED, DELIVERED], 0),
        ("dispatched", [DISPATCHED, DELIVERED], 0),
        ("delivered", [DISPATCHED, CANCELLED], 1),
        ("cancelled", [DISPATCHED, CANCELLED], 0),
        ("dispatched", [event(2, "CANCELLED")], 1),
        ("manual-dispatch", [event(2, "MANUAL_DISPATCH", reason="no_driver")], 0),
    ],
)
async def test_it_ends_where_until_says(
    desk: Desk, watched: Told, until: str, moves: list[dict[str, Any]], code: int
) -> None:
    watched.streams.append([BEGIN, *(sent(move) for move in moves), HANG])

    assert await desk.types("orders", "watch", "o-1", "--until", until, "--url", watched.url) == code
    if code:
        assert three_lines(desk.complained) == ["error", "why", "fix"]


async def test_where_an_order_was_before_it_waited_again_does_not_count(desk: Desk, told: Told) -> None:
    again = event(3, "PENDING", type="orders.redispatched")
    told.on("GET", "/orders/o-1/events", {"items": [CREATED, DISPATCHED, again]})
    told.streams.append([BEGIN, sent(event(4, "DISPATCHED")), HANG])

    assert await desk.types("orders", "watch", "o-1", "--until", "dispatched", "--json", "--url", told.url) == 0
    assert [line["sequence"] for line in desk.lines()] == [1, 2, 3, 4]


async def test_all_orders_are_followed_until_the_server_wants_nobody_to_come_back(desk: Desk, told: Told) -> None:
    moved = {"driver_id": "ana", "lat": -23.5, "lng": -46.6, "recorded_at": "2026-01-31T12:00:00Z", "free": True}
    evil = event(1, "PENDING", "o-2", actor="\x1b]0;mine\x07\nx")
    told.streams += [[BEGIN, sent(CREATED, "t1"), sent(moved), sent(evil, "t2"), b"data: [1]\n\n"], 204]

    words = ["orders", "watch", "--type", "orders.created", "--bbox", "-47,-24,-46,-23", "--url", told.url]
    assert await desk.types(*words) == 0
    assert told.asked[0].query == {"type": "orders.created", "bbox": "-47,-24,-46,-23"}
    first, position, second, odd = desk.said.splitlines()
    assert first.endswith("o-1  PENDING  by worker")
    assert "driver_id ana, lat -23.5" in position
    assert "\x1b" not in second
    assert odd == "event message, data [1]"


async def test_a_server_that_stays_away_is_given_up(desk: Desk, watched: Told) -> None:
    watched.streams += [[BEGIN], *[503] * 1000]

    assert await desk.types("orders", "watch", "o-1", "--patience", "0.2", "--url", watched.url) == 3
    assert three_lines(desk.complained)[-3:] == ["error", "why", "fix"]


@pytest.mark.parametrize(("stream", "code"), [(404, 1), (422, 1), (503, 3)])
async def test_a_refusal_at_first_is_told_at_once(desk: Desk, told: Told, stream: int, code: int) -> None:
    told.streams.append(stream)

    assert await desk.types("orders", "watch", "--url", told.url) == code
    assert three_lines(desk.complained) == ["error", "why", "fix"]
    assert len(told.asked) == 1


async def test_nobody_there_is_told_at_once(desk: Desk) -> None:
    assert await desk.types("orders", "watch", "--url", "http://127.0.0.1:1") == 3
    assert three_lines(desk.complained) == ["error", "why", "fix"]


async def test_an_order_that_does_not_exist_is_not_waited_for(desk: Desk, told: Told) -> None:
    assert await desk.types("orders", "watch", "o-1", "--url", told.url) == 1


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_ends_it_without_a_word(watched: Told, tmp_path: Path, sign: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gofleet", "orders", "watch", "o-1", "--json", "--url", watched.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline()) == CREATED
    process.send_signal(sign)
    said, complained = process.communicate(timeout=20)

    assert (said, complained) == ("", "")
    assert process.returncode == (130 if sign is signal.SIGINT else -sign)


async def test_a_reader_that_has_seen_enough_ends_it(told: Told, tmp_path: Path) -> None:
    told.streams.append([BEGIN, *(sent(event(n, "PENDING")) for n in range(1, 5000)), HANG])
    command = f"{sys.executable} -m gofleet orders watch --url {told.url} | head -1"

    ended = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, timeout=30, check=False
    )

    assert ended.stdout.count("\n") == 1
    assert ended.stderr == ""
