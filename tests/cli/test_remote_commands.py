"""`gofleet parked` and `gofleet outbox` against the API in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from gofleet.adapters.http.asgi import Receive, Scope, Send, respond
from gofleet.adapters.http.server import serving
from gofleet.domain.errors import Malformed, MessageRefused, OrderNotFound
from gofleet.domain.messages import FLEET_QUEUE
from gofleet.domain.parked import Stage
from gofleet.testing.outbox import MemoryOutbox
from tests.cli.program import line_labels
from tests.cli.session import CliSession
from tests.makers import an_order
from tests.roles.conftest import World


async def test_lists_groups_and_shows_parked_messages(cli: CliSession) -> None:
    for n in range(3):
        await cli.park(f"o-{n}", OrderNotFound(f"o-{n}"))
    await cli.park("broken", Malformed("[red]no\x1b[31m JSON"), FLEET_QUEUE, body=b"\x1b]0;mine\x07[b]")

    assert await cli.run("parked", "list", "--json") == 0
    assert [line["id"] for line in cli.json_lines()] == [4, 3, 2, 1]
    assert await cli.run("parked", "list", "--reason", "NO_SUCH_ORDER", "--limit", "2", "--json") == 0
    assert [line["order_id"] for line in cli.json_lines()] == ["o-2", "o-1"]
    assert await cli.run("parked", "list") == 0
    assert "[red]no\N{REPLACEMENT CHARACTER}[31m JSON" in cli.stdout
    assert "\x1b" not in cli.stdout
    assert await cli.run("parked", "groups", "--json") == 0
    assert [(line["reason"], line["waiting"]) for line in cli.json_lines()] == [("no-such-order", 3), ("malformed", 1)]
    assert await cli.run("parked", "groups") == 0
    assert "there is no order o-2" in cli.stdout
    assert await cli.run("parked", "show", "4", "--json") == 0
    assert cli.json_lines()[0]["body"] == "\x1b]0;mine\x07[b]"
    assert await cli.run("parked", "show", "4") == 0
    assert "]0;mine\N{REPLACEMENT CHARACTER}[b]" in cli.stdout
    assert "\x1b" not in cli.stdout


async def test_replays_one_message_or_an_exact_number(cli: CliSession) -> None:
    for n in range(3):
        await cli.park(f"o-{n}", OrderNotFound(f"o-{n}"))
    fingerprint = cli.world.parked.rows[0].message.fingerprint

    assert await cli.run("parked", "replay", "2") == 0
    assert "message 2 will be replayed" in cli.stdout
    assert cli.stages() == [Stage.WAITING, Stage.REQUESTED, Stage.WAITING]
    assert await cli.run("parked", "replay", "--fingerprint", fingerprint, "--expect", "3") == 1
    assert line_labels(cli.stderr) == ["error", "why", "fix"]
    assert "there are 2" in cli.stderr
    assert cli.stages() == [Stage.WAITING, Stage.REQUESTED, Stage.WAITING]
    assert await cli.run("parked", "replay", "--fingerprint", fingerprint, "--expect", "2", "--json") == 0
    assert cli.json_lines() == [{"requested": 2}]
    assert cli.stages() == [Stage.REQUESTED] * 3


async def test_lists_and_retries_failed_events(cli: CliSession) -> None:
    await cli.world.orders.add(an_order("o-1"))
    async with MemoryOutbox(cli.world.orders, max_attempts=1).claiming(9) as claim:
        await claim.settle([MessageRefused("no queue")])

    assert await cli.run("outbox", "list") == 0
    assert "o-1" in cli.stdout
    assert await cli.run("outbox", "list", "--json") == 0
    assert cli.json_lines()[0]["error"] == "no queue"
    assert await cli.run("outbox", "retry", "--expect", "2") == 1
    assert "there are 1" in cli.stderr
    assert await cli.run("outbox", "retry", "--expect", "1") == 0
    assert await cli.run("outbox", "list", "--json") == 0
    assert cli.stdout == ""


@pytest.mark.parametrize(
    ("words", "code", "text"),
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
async def test_errors_print_three_lines(cli: CliSession, words: list[str], code: int, text: str) -> None:
    assert await cli.run(*words) == code
    assert line_labels(cli.stderr) == ["error", "why", "fix"]
    assert text in cli.stderr
    assert cli.stdout == ""


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
async def test_another_server_is_reported_in_three_lines(tmp_path: Path, body: bytes) -> None:
    async def other_server(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, "text/html", body)

    async with serving(other_server, "127.0.0.1", 0, grace_seconds=2) as listening:
        cli = CliSession(World(), listening.url, tmp_path)
        assert await cli.run("parked", "list") == 3
    assert line_labels(cli.stderr) == ["error", "why", "fix"]
    assert "is not a GoFleet API" in cli.stderr
