"""`gofleet drivers` against the API in memory, and its requests to a stub server."""

from __future__ import annotations

from pathlib import Path

from tests.cli.program import line_labels
from tests.cli.session import CliSession
from tests.cli.stub_server import StubServer, problem

ANA = {"id": "ana", "name": "Ana", "on_duty": True, "free": True, "order_id": None, "version": 1}


async def test_registers_shows_and_locates_a_driver(cli: CliSession) -> None:
    assert await cli.run("drivers", "set", "ana", "--name", "Ana", "--duty", "off", "--json") == 0
    assert cli.json_lines()[0] == cli.json_lines()[0] | {"id": "ana", "name": "Ana", "on_duty": False}
    assert await cli.run("drivers", "show", "ana") == 0
    assert "Ana" in cli.stdout
    assert await cli.run("drivers", "move", "ana", "-23.55,-46.63") == 0
    assert cli.stdout == "driver ana is at -23.55, -46.63\n"
    assert [position.place.lat for position in cli.world.fleet.positions] == [-23.55]
    assert await cli.run("drivers", "move", "ana", "-23.55,-46.63", "--json") == 0
    assert cli.json_lines() == [{"driver_id": "ana", "lat": -23.55, "lng": -46.63}]
    cli.world.fleet.unavailable = True
    assert await cli.run("drivers", "move", "ana", "1,1") == 3
    assert "gofleet doctor" in cli.stderr
    assert await cli.run("drivers", "show", "bia") == 1
    assert line_labels(cli.stderr) == ["error", "why", "fix"]


async def test_lists_drivers(cli: CliSession, stub: StubServer) -> None:
    seen = {**ANA, "position": {"lat": -23.5, "lng": -46.6, "recorded_at": "2026-01-31T12:00:00Z"}}
    stub.respond("GET", "/drivers", {"items": [seen], "next_cursor": None})

    box = "-47,-24,-46,-23"
    assert await cli.run("drivers", "list", "--bbox", box, "--free", "--no-on-duty", "--url", stub.url) == 0
    assert stub.requests[0].query == {"bbox": box, "free": "true", "on_duty": "false", "limit": "50"}
    assert "lat -23.5" in cli.stdout
    assert await cli.run("drivers", "list", "--json", "--url", stub.url) == 0
    assert stub.requests[1].query == {"limit": "50"}
    assert cli.json_lines() == [seen]


async def test_says_that_a_map_lacks_drivers(cli: CliSession, stub: StubServer) -> None:
    stub.respond("GET", "/drivers", {"items": [ANA], "next_cursor": None, "truncated": True, "total": 812})

    words = ["drivers", "list", "--bbox", "-47,-24,-46,-23", "--url", stub.url]
    assert await cli.run(*words) == 0
    assert "there are more: a smaller --bbox" in cli.stdout
    assert await cli.run(*words, "--json") == 0
    assert (cli.json_lines(), cli.stderr) == ([ANA], "there are more: a smaller --bbox\n")


async def test_sets_duty(cli: CliSession, stub: StubServer) -> None:
    stub.respond("PUT", "/drivers/ana/duty", ANA)

    assert await cli.run("drivers", "duty", "ana", "on", "--url", stub.url, "--json") == 0
    assert (stub.requests[0].body, cli.json_lines()) == ({"on_duty": True}, [ANA])
    assert await cli.run("drivers", "duty", "ana", "OFF", "--url", stub.url) == 0
    assert stub.requests[1].body == {"on_duty": False}
    assert await cli.run("drivers", "duty", "ana", "maybe", "--url", stub.url) == 2


async def simulate(cli: CliSession, stub: StubServer, *words: str, seconds: str = "0.3") -> int:
    place = ["--around", "-23.55,-46.63"]
    return await cli.run(
        "drivers", "simulate", *place, "--seconds", seconds, "--every", "0.1", "--url", stub.url, *words
    )


def accept_all(stub: StubServer, drivers: int) -> None:
    for number in range(1, drivers + 1):
        stub.respond("PUT", f"/drivers/driver-{number:03}", ANA)
    stub.respond("POST", "/drivers/positions", {"applied": drivers, "older": 0, "refused": 0})


async def test_simulated_drivers_are_the_same_for_the_same_seed(cli: CliSession, stub: StubServer) -> None:
    accept_all(stub, 3)

    assert await simulate(cli, stub, "--count", "3", "--seed", "7", "--json") == 0
    first = [request.body["positions"] for request in stub.requests_to("/drivers/positions")]
    assert [line["event"] for line in cli.json_lines()] == ["registered", "moved", "moved", "moved", "ended"]
    assert cli.json_lines()[-1] == {
        "event": "ended", "sent": 9, "applied": 9, "older": 0, "refused": 0, "retried": 0
    }  # fmt: skip
    assert len(first) == 3
    assert first[0] != first[1]
    assert [position["driver_id"] for position in first[0]] == ["driver-001", "driver-002", "driver-003"]
    assert all(abs(position["lat"] + 23.55) < 0.1 for position in first[0])
    stub.requests.clear()
    assert await simulate(cli, stub, "--count", "3", "--seed", "7") == 0
    assert [request.body["positions"] for request in stub.requests_to("/drivers/positions")] == first
    assert "applied 9" in cli.stdout.splitlines()[-1]


async def test_simulated_positions_are_sent_in_batches_up_to_the_limit(cli: CliSession, stub: StubServer) -> None:
    accept_all(stub, 501)

    assert await simulate(cli, stub, "--count", "501", seconds="0.1") == 0
    sizes = [len(request.body["positions"]) for request in stub.requests_to("/drivers/positions")]
    assert sizes == [500, 1]


async def test_a_rejected_batch_ends_the_simulation(cli: CliSession, stub: StubServer) -> None:
    accept_all(stub, 2)
    stub.respond("POST", "/drivers/positions", problem(422, "invalid", "Invalid", "no such place"), 422)

    assert await simulate(cli, stub, "--count", "2", "--json") == 1
    assert line_labels(cli.stderr) == ["error", "why", "fix"]
    assert "no such place" in cli.stderr
    assert len(stub.requests_to("/drivers/positions")) == 1


async def test_the_simulation_lives_through_an_outage(cli: CliSession, stub: StubServer) -> None:
    accept_all(stub, 2)
    away = problem(503, "fleet-unavailable", "Fleet unavailable", "try again later")
    stub.failures["POST", "/api/v1/drivers/positions"] = [(503, away)] * 2
    stub.failures["PUT", "/api/v1/drivers/driver-002"] = [(503, away)]

    assert await simulate(cli, stub, "--count", "2", "--json") == 0
    ended = cli.json_lines()[-1]
    assert (ended["retried"], ended["applied"]) == (3, ended["sent"])
    positions = stub.requests_to("/drivers/positions")
    assert positions[0].body == positions[1].body == positions[2].body


async def test_an_api_that_never_answered_is_unreachable(cli: CliSession, tmp_path: Path) -> None:
    words = ["drivers", "simulate", "--around", "-23.55,-46.63", "--url", "http://127.0.0.1:1"]

    assert await cli.run(*words) == 3
    assert line_labels(cli.stderr) == ["error", "why", "fix"]
    assert "requests repeated" in cli.stderr
    assert await cli.run(*words[:-1], "nonsense") == 3
