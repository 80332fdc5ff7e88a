"""`gofleet drivers simulate`: drivers who move about, told to the API in batches."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from gofleet.cli.api_client import HERE, Item, Remote, Url, quoted
from gofleet.cli.errors import NOT_THERE, CommandFailed, Failure
from gofleet.cli.output import Json, say
from gofleet.cli.params import POINT, Point

if TYPE_CHECKING:
    from gofleet.simulation.city import SimulatedDriver

BATCH = 500
"""Positions in one request, as many as the API takes."""
COUNTS = ("applied", "older", "refused")
MANY = Number(gt=0)


def simulate(
    *,
    around: Annotated[Point, POINT, Parameter(help="LAT,LNG of the middle.")],
    count: Annotated[int, Parameter(help="How many drivers.", validator=Number(gte=1, lte=10_000))] = 20,
    seconds: Annotated[float, Parameter(help="For how long they move.", validator=MANY)] = 60.0,
    every: Annotated[float, Parameter(help="Seconds between two positions of a driver.", validator=MANY)] = 1.0,
    radius_km: Annotated[float, Parameter(help="How far from the middle they are.", validator=MANY)] = 2.5,
    seed: Annotated[int, Parameter(help="Same seed, same drivers and ways.")] = 1,
    url: Url = HERE,
    json: Json = False,
) -> None:
    """Register drivers (driver-001, ...), put them on the map and let them wander, so that orders find somebody.

    A batch that is not taken is counted, and the next one tried; in the end that is a failure. Ctrl-C ends it early.
    """
    from gofleet.domain.place import Place
    from gofleet.simulation.city import City

    city = City(Place(around.lat, around.lng), seed, count, radius_km)
    with Remote(url) as remote:
        _register(remote, list(city.drivers.values()), json=json)
        rounds = Rounds(remote)
        began = time.monotonic()
        for number in range(max(1, round(seconds / every))):
            time.sleep(max(0.0, began + number * every - time.monotonic()))
            rounds.send(city.advance(time.monotonic()))
            _progress(rounds, time.monotonic() - began, json=json)
    _ended(rounds, json=json)


class Rounds:
    """What the API said to all positions so far."""

    def __init__(self, remote: Remote) -> None:
        self.sent = self.batches = 0
        self.counts: Counter[str] = Counter()
        self.failures: list[Failure] = []
        self.failing = False
        self._remote = remote

    def send(self, couriers: Sequence[SimulatedDriver]) -> None:
        for batch in _batches(couriers):
            self.batches += 1
            self.sent += len(batch)
            try:
                said = self._remote.ask("POST", "/drivers/positions", body={"positions": batch})
            except CommandFailed as error:
                self.failures.append(error.failure)
                self.failing = True
                continue
            self.failing = False
            self.counts.update({name: int(said.get(name, 0)) for name in COUNTS})

    def item(self) -> Item:
        return {
            "sent": self.sent,
            **{name: self.counts[name] for name in COUNTS},
            "failed_batches": len(self.failures),
        }


def _register(remote: Remote, couriers: Sequence[SimulatedDriver], *, json: bool) -> None:
    for courier in couriers:
        remote.ask("PUT", f"/drivers/{quoted(courier.id)}", body={"name": courier.name})
    if json:
        say({"event": "registered", "drivers": len(couriers)})
    else:
        print(f"{len(couriers)} drivers on the road")


def _batches(couriers: Sequence[SimulatedDriver]) -> Iterator[list[Item]]:
    positions = [{"driver_id": each.id, "lat": each.place.lat, "lng": each.place.lng} for each in couriers]
    for first in range(0, len(positions), BATCH):
        yield positions[first : first + BATCH]


def _progress(rounds: Rounds, elapsed: float, *, json: bool) -> None:
    if json:
        say({"event": "moved", "seconds": round(elapsed, 1), **rounds.item()})
        return
    # One line that is written over on a terminal, a line each in a pipe.
    end, begin = ("", "\r\x1b[K") if sys.stdout.isatty() else ("\n", "")
    print(f"{begin}{elapsed:5.0f} s  {_words(rounds)}", end=end, flush=True)


def _ended(rounds: Rounds, *, json: bool) -> None:
    if json:
        say({"event": "ended", **rounds.item()})
    elif sys.stdout.isatty():
        print()
    if not rounds.failures:
        return
    last = rounds.failures[-1]
    code = NOT_THERE if rounds.failing and last.exit_code == NOT_THERE else 1
    what = f"{len(rounds.failures)} of {rounds.batches} batches were not taken"
    raise CommandFailed(Failure(what, f"{last.what}: {last.why}", last.fix, code))


def _words(rounds: Rounds) -> str:
    return "  ".join(f"{name.replace('_', ' ')} {count}" for name, count in rounds.item().items())
