"""`gofleet orders watch` prints every transition once, across lost connections."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import line_labels
from tests.cli.session import CliSession
from tests.cli.stub_server import KEEP_OPEN, PREAMBLE, StubServer, event_bytes


def event(sequence: int, status: str, order_id: str = "o-1", **more: object) -> dict[str, Any]:
    moved = status.lower() if sequence > 1 else "created"
    facts = {"driver_id": None, "reason": None, "actor": "worker", "at": "2026-01-31T12:00:00Z", "trace_id": None}
    order = {"order_id": order_id, "sequence": sequence, "type": f"orders.{moved}", "status": status}
    return {**order, **facts, **more}


CREATED, DISPATCHED = event(1, "PENDING"), event(2, "DISPATCHED", driver_id="ana")
DELIVERED, CANCELLED = event(3, "DELIVERED", driver_id="ana"), event(3, "CANCELLED")


@pytest.fixture
def watched(stub: StubServer) -> StubServer:
    """A server with one new order."""
    stub.respond("GET", "/orders/o-1/events", {"items": [CREATED]})
    return stub


async def test_watches_an_order_to_its_end(cli: CliSession, watched: StubServer) -> None:
    watched.streams.append(
        [PREAMBLE, event_bytes(DISPATCHED, "t1"), b": still here\n\n", event_bytes(DELIVERED, "t2"), KEEP_OPEN]
    )

    assert await cli.run("orders", "watch", "o-1", "--json", "--url", watched.url) == 0
    assert cli.json_lines() == [CREATED, DISPATCHED, DELIVERED]
    assert watched.requests[0].query == {"order_id": "o-1"}
    assert "last-event-id" not in watched.requests[0].headers


async def test_reconnects_after_the_last_event(cli: CliSession, watched: StubServer) -> None:
    watched.streams += [
        [PREAMBLE, event_bytes(DISPATCHED, "t1"), b"id: t9\nevent: orders.deli"],
        503,
        [PREAMBLE, event_bytes(DISPATCHED, "t1"), event_bytes(DELIVERED, "t2"), KEEP_OPEN],
    ]

    assert await cli.run("orders", "watch", "o-1", "--json", "--url", watched.url) == 0
    assert cli.json_lines() == [CREATED, DISPATCHED, DELIVERED]
    tokens = [request.headers.get("last-event-id") for request in watched.requests_to("/orders/stream")]
    assert tokens == [None, "t1", "t1"]
    assert cli.stderr.count("connection lost") == 2


async def test_events_before_the_stream_come_from_the_timeline(cli: CliSession, stub: StubServer) -> None:
    stub.respond("GET", "/orders/o-1/events", {"items": [CREATED, DISPATCHED, DELIVERED]})

    assert await cli.run("orders", "watch", "o-1", "--url", stub.url) == 0
    assert [line.split("  ")[1] for line in cli.stdout.splitlines()] == ["o-1"] * 3
    assert "DISPATCHED ana  by worker" in cli.stdout


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
async def test_ends_at_the_status_of_until(
    cli: CliSession, watched: StubServer, until: str, moves: list[dict[str, Any]], code: int
) -> None:
    watched.streams.append([PREAMBLE, *(event_bytes(move) for move in moves), KEEP_OPEN])

    assert await cli.run("orders", "watch", "o-1", "--until", until, "--url", watched.url) == code
    if code:
        assert line_labels(cli.stderr) == ["error", "why", "fix"]


async def test_a_status_before_a_redispatch_does_not_count(cli: CliSession, stub: StubServer) -> None:
    again = event(3, "PENDING", type="orders.redispatched")
    stub.respond("GET", "/orders/o-1/events", {"items": [CREATED, DISPATCHED, again]})
    stub.streams.append([PREAMBLE, event_bytes(event(4, "DISPATCHED")), KEEP_OPEN])

    assert await cli.run("orders", "watch", "o-1", "--until", "dispatched", "--json", "--url", stub.url) == 0
    assert [line["sequence"] for line in cli.json_lines()] == [1, 2, 3, 4]


async def test_watches_all_orders_until_the_server_ends_the_stream(cli: CliSession, stub: StubServer) -> None:
    moved = {"driver_id": "ana", "lat": -23.5, "lng": -46.6, "recorded_at": "2026-01-31T12:00:00Z", "free": True}
    evil = event(1, "PENDING", "o-2", actor="\x1b]0;mine\x07\nx")
    stub.streams += [
        [PREAMBLE, event_bytes(CREATED, "t1"), event_bytes(moved), event_bytes(evil, "t2"), b"data: [1]\n\n"],
        204,
    ]

    words = ["orders", "watch", "--type", "orders.created", "--bbox", "-47,-24,-46,-23", "--url", stub.url]
    assert await cli.run(*words) == 0
    assert stub.requests[0].query == {"type": "orders.created", "bbox": "-47,-24,-46,-23"}
    first, position, second, odd = cli.stdout.splitlines()
    assert first.endswith("o-1  PENDING  by worker")
    assert "driver_id ana, lat -23.5" in position
    assert "\x1b" not in second
    assert odd == "event message, data [1]"


async def test_gives_up_after_the_patience(cli: CliSession, watched: StubServer) -> None:
    watched.streams += [[PREAMBLE], *[503] * 1000]

    assert await cli.run("orders", "watch", "o-1", "--patience", "0.2", "--url", watched.url) == 3
    assert line_labels(cli.stderr)[-3:] == ["error", "why", "fix"]


@pytest.mark.parametrize(("stream", "code"), [(404, 1), (422, 1), (503, 3)])
async def test_an_error_of_the_first_request_is_printed_at_once(
    cli: CliSession, stub: StubServer, stream: int, code: int
) -> None:
    stub.streams.append(stream)

    assert await cli.run("orders", "watch", "--url", stub.url) == code
    assert line_labels(cli.stderr) == ["error", "why", "fix"]
    assert len(stub.requests) == 1


async def test_a_refused_connection_is_printed_at_once(cli: CliSession) -> None:
    assert await cli.run("orders", "watch", "--url", "http://127.0.0.1:1") == 3
    assert line_labels(cli.stderr) == ["error", "why", "fix"]


async def test_an_unknown_order_is_an_error(cli: CliSession, stub: StubServer) -> None:
    assert await cli.run("orders", "watch", "o-1", "--url", stub.url) == 1


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_ends_it_without_output(watched: StubServer, tmp_path: Path, sign: signal.Signals) -> None:
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
    output, errors = process.communicate(timeout=20)

    assert (output, errors) == ("", "")
    assert process.returncode == (130 if sign is signal.SIGINT else -sign)


async def test_a_closed_pipe_ends_it(stub: StubServer, tmp_path: Path) -> None:
    stub.streams.append([PREAMBLE, *(event_bytes(event(n, "PENDING")) for n in range(1, 5000)), KEEP_OPEN])
    command = f"{sys.executable} -m gofleet orders watch --url {stub.url} | head -1"

    ended = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, timeout=30, check=False
    )

    assert ended.stdout.count("\n") == 1
    assert ended.stderr == ""
