"""`gofleet drivers` against the real API over memory, and what it asks of routes to come."""

from __future__ import annotations

from tests.cli.desk import Desk
from tests.cli.told import Told, problem
from tests.cli.typed import three_lines

ANA = {"id": "ana", "name": "Ana", "on_duty": True, "free": True, "order_id": None, "version": 1}


async def test_a_driver_is_registered_shown_and_moved(desk: Desk) -> None:
    assert await desk.types("drivers", "set", "ana", "--name", "Ana", "--duty", "off", "--json") == 0
    assert desk.lines()[0] == desk.lines()[0] | {"id": "ana", "name": "Ana", "on_duty": False}
    assert await desk.types("drivers", "show", "ana") == 0
    assert "Ana" in desk.said
    assert await desk.types("drivers", "move", "ana", "-23.55,-46.63") == 0
    assert desk.said == "driver ana is at -23.55, -46.63\n"
    assert [position.place.lat for position in desk.world.fleet.positions] == [-23.55]
    assert await desk.types("drivers", "move", "ana", "-23.55,-46.63", "--json") == 0
    assert desk.lines() == [{"driver_id": "ana", "lat": -23.55, "lng": -46.63}]
    desk.world.fleet.away = True
    assert await desk.types("drivers", "move", "ana", "1,1") == 3
    assert "gofleet doctor" in desk.complained
    assert await desk.types("drivers", "show", "bia") == 1
    assert three_lines(desk.complained) == ["error", "why", "fix"]


async def test_drivers_are_listed(desk: Desk, told: Told) -> None:
    seen = {**ANA, "position": {"lat": -23.5, "lng": -46.6, "recorded_at": "2026-01-31T12:00:00Z"}}
    told.on("GET", "/drivers", {"items": [seen], "next_cursor": None})

    box = "-47,-24,-46,-23"
    assert await desk.types("drivers", "list", "--bbox", box, "--free", "--no-on-duty", "--url", told.url) == 0
    assert told.asked[0].query == {"bbox": box, "free": "true", "on_duty": "false", "limit": "50"}
    assert "lat -23.5" in desk.said
    assert await desk.types("drivers", "list", "--json", "--url", told.url) == 0
    assert told.asked[1].query == {"limit": "50"}
    assert desk.lines() == [seen]


async def test_duty_is_switched(desk: Desk, told: Told) -> None:
    told.on("PUT", "/drivers/ana/duty", ANA)

    assert await desk.types("drivers", "duty", "ana", "on", "--url", told.url, "--json") == 0
    assert (told.asked[0].body, desk.lines()) == ({"on_duty": True}, [ANA])
    assert await desk.types("drivers", "duty", "ana", "off", "--url", told.url) == 0
    assert told.asked[1].body == {"on_duty": False}
    assert await desk.types("drivers", "duty", "ana", "maybe", "--url", told.url) == 2


async def simulated(desk: Desk, told: Told, *words: str, seconds: str = "0.3") -> int:
    place = ["--around", "-23.55,-46.63"]
    return await desk.types(
        "drivers", "simulate", *place, "--seconds", seconds, "--every", "0.1", "--url", told.url, *words
    )


def taking_all(told: Told, drivers: int) -> None:
    for number in range(1, drivers + 1):
        told.on("PUT", f"/drivers/driver-{number:03}", ANA)
    told.on("POST", "/drivers/positions", {"applied": drivers, "older": 0, "refused": 0})


async def test_simulated_drivers_move_alike_for_the_same_seed(desk: Desk, told: Told) -> None:
    taking_all(told, 3)

    assert await simulated(desk, told, "--count", "3", "--seed", "7", "--json") == 0
    first = [asked.body["positions"] for asked in told.asked_for("/drivers/positions")]
    assert [line["event"] for line in desk.lines()] == ["registered", "moved", "moved", "moved", "ended"]
    assert desk.lines()[-1] == {
        "event": "ended", "sent": 9, "applied": 9, "older": 0, "refused": 0, "failed_batches": 0
    }  # fmt: skip
    assert len(first) == 3
    assert first[0] != first[1]
    assert [position["driver_id"] for position in first[0]] == ["driver-001", "driver-002", "driver-003"]
    assert all(abs(position["lat"] + 23.55) < 0.1 for position in first[0])
    told.asked.clear()
    assert await simulated(desk, told, "--count", "3", "--seed", "7") == 0
    assert [asked.body["positions"] for asked in told.asked_for("/drivers/positions")] == first
    assert "applied 9" in desk.said.splitlines()[-1]


async def test_simulated_drivers_come_in_batches_that_the_api_takes(desk: Desk, told: Told) -> None:
    taking_all(told, 501)

    assert await simulated(desk, told, "--count", "501", seconds="0.1") == 0
    sizes = [len(asked.body["positions"]) for asked in told.asked_for("/drivers/positions")]
    assert sizes == [500, 1]


async def test_batches_that_are_not_taken_are_a_failure_in_the_end(desk: Desk, told: Told) -> None:
    taking_all(told, 2)
    away = problem(503, "fleet-unavailable", "The fleet is away", "try again later")
    told.on("POST", "/drivers/positions", away, 503)

    assert await simulated(desk, told, "--count", "2", "--json") == 3
    assert three_lines(desk.complained) == ["error", "why", "fix"]
    assert "3 of 3 batches were not taken" in desk.complained
    assert desk.lines()[-1]["failed_batches"] == 3
    told.on("POST", "/drivers/positions", problem(422, "invalid", "Invalid", "no"), 422)
    assert await simulated(desk, told, "--count", "2", "--json") == 1
