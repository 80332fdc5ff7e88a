"""`gofleet orders` against the API in memory, and its requests to a stub server."""

from __future__ import annotations

import io
import json
import re

import pytest

from gofleet.cli import COMMANDS, GROUPS
from gofleet.cli.errors import CliError
from gofleet.cli.orders import confirm
from gofleet.domain.driver import Driver
from gofleet.domain.order import Status
from tests.cli.program import line_labels
from tests.cli.session import CliSession
from tests.cli.stub_server import StubServer, problem
from tests.makers import a_position, an_order

EVENT = {
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


async def test_creates_an_order_once(cli: CliSession) -> None:
    words = ["orders", "create", "--id", "o-1", "--price", "100.10", "--tax", "10", "--pickup", "-23.55,-46.63"]

    assert await cli.run(*words, "--json") == 0
    [order] = cli.json_lines()
    assert order == order | {"id": "o-1", "final_price": 110.1, "pickup": {"lat": -23.55, "lng": -46.63}}
    assert await cli.run(*words) == 0
    assert "PENDING" in cli.stdout
    assert await cli.run(*words, "--dropoff", "1,1") == 1
    assert line_labels(cli.stderr) == ["error", "why", "fix"]
    assert "Order id already in use" in cli.stderr
    assert await cli.run("orders", "create", "--price", "1", "--tax", "0", "--json") == 0
    assert len(cli.json_lines()[0]["id"]) == 36


async def test_creates_and_finds_an_order_by_its_data(cli: CliSession) -> None:
    words = ["orders", "create", "--price", "1", "--tax", "0", "--reference", "A 1001"]
    words += [
        "--item",
        "2xPizza Margherita",
        "--item",
        "1x Água",
        "--metadata",
        "shop=centro",
        "--metadata",
        "till=a=b",
    ]

    assert await cli.run(*words, "--json") == 0
    [order] = cli.json_lines()
    assert order["reference"] == "A 1001"
    assert order["items"] == [{"name": "Pizza Margherita", "quantity": 2}, {"name": "Água", "quantity": 1}]
    assert order["metadata"] == {"shop": "centro", "till": "a=b"}
    assert await cli.run("orders", "create", "--price", "1", "--tax", "0") == 0
    assert "reference" not in cli.stdout
    assert await cli.run("orders", "list", "--reference", "A 1001") == 0
    assert "A 1001" in cli.stdout
    assert await cli.run("orders", "list", "--reference", "A 1001", "--json") == 0
    assert [line["id"] for line in cli.json_lines()] == [order["id"]]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--item", "Pizza"], "'Pizza' is not QUANTITYxNAME, such as 2xPizza"),
        (["--item", "xPizza"], "'xPizza' is not QUANTITYxNAME"),
        (["--metadata", "centro"], "'centro' is not NAME=VALUE, such as shop=centro"),
        (["--metadata", "a=1", "--metadata", "a=2"], "'a' is given twice"),
    ],
)
async def test_wrong_data_of_an_order_is_invalid_usage(cli: CliSession, words: list[str], why: str) -> None:
    assert await cli.run("orders", "create", "--price", "1", "--tax", "0", *words) == 2
    assert why in cli.stderr


async def test_changes_data_of_an_order(cli: CliSession) -> None:
    await cli.world.orders.add(an_order("o-1", reference="A", metadata={"shop": "centro", "till": "1"}))
    words = ["orders", "change", "o-1", "--reference", "", "--item", "2xPizza", "--metadata", "till=", "--json"]

    assert await cli.run(*words) == 0
    [order] = cli.json_lines()
    assert (order["version"], order["items"], order["metadata"]) == (
        2,
        [{"name": "Pizza", "quantity": 2}],
        {"shop": "centro"},
    )
    assert "reference" not in order
    assert await cli.run("orders", "change", "o-1", "--metadata", "a=b", "--if-match", "1") == 1
    assert "version 2" in cli.stderr
    assert await cli.run("orders", "change", "o-1") == 2
    assert "no data was given" in cli.stderr


async def test_a_key_makes_the_creation_repeatable(cli: CliSession) -> None:
    words = ["orders", "create", "--idempotency-key", "cart-7", "--price", "1", "--tax", "0", "--json"]

    assert [await cli.run(*words), await cli.run(*words)] == [0, 0]
    [first] = [line["id"] for line in cli.json_lines()]
    assert first.startswith("own-")
    assert list(cli.world.orders.rows) == [first]
    assert await cli.run(*words, "--id", "cart-8") == 1
    assert "must equal the Idempotency-Key" in cli.stderr
    assert await cli.run("orders", "create", "--idempotency-key", "a b", "--price", "1", "--tax", "0") == 2


async def test_lists_and_shows_orders(cli: CliSession) -> None:
    for n in range(3):
        await cli.world.orders.add(an_order(f"o-{n}"))
    await cli.world.orders.add(an_order("o-manual", Status.MANUAL_DISPATCH))

    assert await cli.run("orders", "list", "--json") == 0
    assert [line["id"] for line in cli.json_lines()] == ["o-manual", "o-2", "o-1", "o-0"]
    for name in ("manual-dispatch", "MANUAL_DISPATCH", "Manual_Dispatch"):
        assert await cli.run("orders", "list", "--status", name, "--json") == 0
        assert [line["id"] for line in cli.json_lines()] == ["o-manual"]
    assert await cli.run("orders", "list", "--created-after", "2999-01-01", "--json") == 0
    assert cli.stdout == ""
    assert await cli.run("orders", "list", "--limit", "2") == 0
    assert "there are more" in cli.stdout
    assert await cli.run("orders", "get", "o-manual") == 0
    assert "no_driver" in cli.stdout
    assert await cli.run("orders", "get", "o-manual", "--json") == 0
    assert cli.json_lines()[0]["status"] == "MANUAL_DISPATCH"


async def test_changes_the_status_of_orders(cli: CliSession) -> None:
    await cli.world.drivers.put(Driver("ana", "Ana"))
    await cli.world.orders.add(an_order("o-1", Status.MANUAL_DISPATCH))

    assert await cli.run("orders", "dispatch", "o-1", "ana", "--if-match", "1") == 1
    assert "version" in cli.stderr
    assert await cli.run("orders", "dispatch", "o-1", "ana", "--json") == 0
    assert cli.stderr.splitlines() == [
        "order o-1 was MANUAL_DISPATCH (no_driver), version 2",
        "driver ana is at an unknown distance from the pickup",
    ]
    assert [(line["status"], line["driver_id"]) for line in cli.json_lines()] == [("DISPATCHED", "ana")]
    assert await cli.run("orders", "deliver", "o-1", "--if-match", "2") == 1
    assert await cli.run("orders", "deliver", "o-1", "--if-match", "3") == 0
    assert "DELIVERED" in cli.stdout
    assert await cli.run("orders", "dispatch", "o-1", "ana") == 1
    assert line_labels(cli.stderr) == ["error", "why", "fix"]
    assert await cli.run("orders", "cancel", "o-1") == 1
    assert "invalid" not in cli.stdout
    assert "gofleet orders events" in cli.stderr


async def test_dispatches_to_a_distant_driver_only_with_yes(cli: CliSession) -> None:
    for name, metres in {"near": 1234, "far": 2_700_000}.items():
        await cli.world.fleet.register(await cli.world.drivers.put(Driver(name, name)))
        await cli.world.fleet.update_position(a_position(name, metres_north=metres))
    await cli.world.orders.add(an_order("o-1", Status.MANUAL_DISPATCH))

    assert await cli.run("orders", "dispatch", "o-1", "far") == 1
    assert line_labels(cli.stderr) == ["error", "why", "fix"]
    assert "driver far is 2,701 km from the pickup" in cli.stderr
    assert "--yes" in cli.stderr
    assert (await cli.world.orders.get("o-1")).version == 2
    assert await cli.run("orders", "dispatch", "o-1", "far", "--yes") == 0
    assert "driver far is 2,700.8 km from the pickup" in cli.stderr

    assert await cli.run("orders", "redispatch", "o-1") == 0
    assert await cli.run("orders", "dispatch", "o-1", "near") == 0
    assert "driver near is 1.2 km from the pickup" in cli.stderr


async def test_dispatches_without_the_fleet_service(cli: CliSession) -> None:
    await cli.world.drivers.put(Driver("ana", "Ana"))
    await cli.world.orders.add(an_order("o-1", Status.MANUAL_DISPATCH))
    cli.world.fleet.unavailable = True

    assert await cli.run("orders", "dispatch", "o-1", "ana") == 0
    assert "unknown distance" in cli.stderr


@pytest.mark.parametrize(
    ("answer", "agreed"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_a_person_at_the_terminal_confirms(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, agreed: bool
) -> None:
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)

    if agreed:
        confirm("it is far")
    else:
        with pytest.raises(CliError, match="nothing was dispatched"):
            confirm("it is far")
    assert capsys.readouterr().err == "it is far. Assign it all the same? [y/N] "


async def test_lists_how_long_orders_have_waited(cli: CliSession) -> None:
    for name, status in {"o-1": Status.PENDING, "o-2": Status.MANUAL_DISPATCH, "o-3": Status.DISPATCHED}.items():
        await cli.world.orders.add(an_order(name, status))

    assert await cli.run("orders", "list") == 0
    lines = [re.split("[\u2502\u2503]", line)[1:-1] for line in cli.stdout.splitlines()]
    heading, *rows = [line for line in lines if line]
    waiting = [cell.strip() for cell in heading].index("waiting")
    shown = {row[0].strip(): row[waiting].strip() for row in rows}
    assert re.fullmatch(r"\d+ s", shown["o-1"])
    assert re.fullmatch(r"\d+ s", shown["o-2"])
    assert shown["o-3"] == ""


async def test_redispatches_and_cancels_an_order(cli: CliSession) -> None:
    await cli.world.orders.add(an_order("o-1", Status.MANUAL_DISPATCH))

    assert await cli.run("orders", "redispatch", "o-1", "--json") == 0
    assert cli.json_lines()[0]["status"] == "PENDING"
    assert await cli.run("orders", "cancel", "o-1", "--json") == 0
    assert cli.json_lines()[0]["status"] == "CANCELLED"


async def test_shows_the_history_of_an_order(cli: CliSession, stub: StubServer) -> None:
    stub.respond("GET", "/orders/o-1/events", {"items": [EVENT]})

    assert await cli.run("orders", "events", "o-1", "--url", stub.url) == 0
    assert "ana\N{REPLACEMENT CHARACTER}[31m" in cli.stdout
    assert "\x1b" not in cli.stdout
    assert await cli.run("orders", "events", "o-1", "--url", stub.url, "--json") == 0
    assert "\x1b" not in cli.stdout
    assert cli.json_lines() == [EVENT]


async def test_lists_candidates(cli: CliSession, stub: StubServer) -> None:
    found = {"driver_id": "ana", "name": "Ana", "lat": -23.5, "lng": -46.6, "distance_m": 12.5, "free": True}
    stub.respond("GET", "/orders/o-1/candidates", {"items": [found]})

    assert await cli.run("orders", "candidates", "o-1", "--radius-km", "2", "--url", stub.url) == 0
    assert "12.5" in cli.stdout
    assert stub.requests[0].query == {"limit": "5", "radius_km": "2.0"}


@pytest.mark.parametrize(
    "words",
    [
        ["get", ""],
        ["get", "a/b"],
        ["get", "."],
        ["cancel", ".."],
        ["dispatch", "o-1", ".."],
        ["create", "--price", "1", "--tax", "1", "--id", ".."],
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
async def test_invalid_usage_sends_no_request_and_exits_with_2(
    cli: CliSession, stub: StubServer, words: list[str]
) -> None:
    assert await cli.run("orders", *words, *([] if words == ["unheard-of"] else ["--url", stub.url])) == 2
    assert line_labels(cli.stderr) == ["error", "why", "fix"]
    assert cli.stdout == ""
    assert stub.requests == []


async def test_invalid_usage_names_what_is_valid(cli: CliSession) -> None:
    for words, text in (
        (["orders", "list", "--created-after", "1h"], "'1h' is not a time, such as 2026-01-31 or 2026-01-31T12:00"),
        (["parked", "list", "--reason", "x"], "'x' is not one of malformed, no-such-order, failed, crash-loop"),
        (["orders", "lst"], "Did you mean 'list'? Available commands: create, get, list, watch, change, cancel,"),
        (["frob"], f"Available commands: {', '.join([*COMMANDS[''], *GROUPS])}."),
    ):
        assert await cli.run(*words) == 2
        assert text in cli.stderr


@pytest.mark.parametrize(("status", "code"), [(404, 1), (409, 1), (422, 1), (500, 1), (503, 3)])
async def test_a_problem_is_printed_with_its_title_detail_and_fix(
    cli: CliSession, stub: StubServer, status: int, code: int
) -> None:
    stub.respond("GET", "/orders/o-1", problem(status, "strange", "Something\x1b[2J", "is\x07 wrong"), status)

    assert await cli.run("orders", "get", "o-1", "--url", stub.url) == code
    what, why, fix = cli.stderr.strip().splitlines()
    assert what == "error: Something\N{REPLACEMENT CHARACTER}[2J"
    assert why == "  why: is\N{REPLACEMENT CHARACTER} wrong"
    assert fix.startswith("  fix: ")


async def test_json_output_escapes_control_characters(cli: CliSession, stub: StubServer) -> None:
    body = {"id": "\x9b31m\u202e\U000e0001 \x1b", "version": 1}
    stub.respond("GET", "/orders/o-1", body)

    assert await cli.run("orders", "get", "o-1", "--json", "--url", stub.url) == 0
    assert cli.stdout.strip().isprintable()
    assert json.loads(cli.stdout) == body
