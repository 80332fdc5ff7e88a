"""`gofleet drivers simulate`: simulated drivers whose position updates are sent to the API in batches."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from gofleet.cli.api_client import DEFAULT_URL, ApiClient, Url, quote_id
from gofleet.cli.errors import FAILED, UNREACHABLE, CliError
from gofleet.cli.output import Json, JsonObject, print_json
from gofleet.cli.params import LAT_LNG, LatLng

if TYPE_CHECKING:
    from gofleet.simulation.city import SimulatedDriver

BATCH_MAX = 500
"""Positions in one request, the limit of the API."""
COUNTS = ("applied", "older", "refused")
POSITIVE = Number(gt=0)


def simulate_drivers_command(
    *,
    around: Annotated[LatLng, LAT_LNG, Parameter(help="LAT,LNG of the centre.")],
    count: Annotated[int, Parameter(help="Number of drivers.", validator=Number(gte=1, lte=10_000))] = 20,
    seconds: Annotated[float, Parameter(help="Duration of the simulation.", validator=POSITIVE)] = 60.0,
    every: Annotated[float, Parameter(help="Seconds between position updates.", validator=POSITIVE)] = 1.0,
    radius_km: Annotated[float, Parameter(help="Radius around the centre.", validator=POSITIVE)] = 2.5,
    seed: Annotated[int, Parameter(help="Random seed; the same seed gives the same drivers and routes.")] = 1,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Register drivers (driver-001, ...) and send their random movements, so that orders find drivers.

    A rejected batch is counted, the next one is sent, and the command fails at the end. Ctrl-C ends it early.
    """
    from gofleet.domain.place import Place
    from gofleet.simulation.city import City

    city = City(Place(around.lat, around.lng), seed, count, radius_km)
    with ApiClient(url) as client:
        _register(client, list(city.drivers.values()), json=json)
        updates = PositionUpdates(client)
        start = time.monotonic()
        for number in range(max(1, round(seconds / every))):
            time.sleep(max(0.0, start + number * every - time.monotonic()))
            updates.send(city.advance(time.monotonic()))
            _print_progress(updates, time.monotonic() - start, json=json)
    _finish(updates, json=json)


class PositionUpdates:
    """Sends positions and counts the API's results."""

    def __init__(self, client: ApiClient) -> None:
        self.sent = self.batches = 0
        self.counts: Counter[str] = Counter()
        self.errors: list[CliError] = []
        self.last_failed = False
        self._client = client

    def send(self, drivers: Sequence[SimulatedDriver]) -> None:
        for batch in _batches(drivers):
            self.batches += 1
            self.sent += len(batch)
            try:
                body = self._client.request("POST", "/drivers/positions", body={"positions": batch})
            except CliError as error:
                self.errors.append(error)
                self.last_failed = True
                continue
            self.last_failed = False
            self.counts.update({name: int(body.get(name, 0)) for name in COUNTS})

    def as_dict(self) -> JsonObject:
        return {
            "sent": self.sent,
            **{name: self.counts[name] for name in COUNTS},
            "failed_batches": len(self.errors),
        }


def _register(client: ApiClient, drivers: Sequence[SimulatedDriver], *, json: bool) -> None:
    for driver in drivers:
        client.request("PUT", f"/drivers/{quote_id(driver.id)}", body={"name": driver.name})
    if json:
        print_json({"event": "registered", "drivers": len(drivers)})
    else:
        print(f"{len(drivers)} drivers registered")


def _batches(drivers: Sequence[SimulatedDriver]) -> Iterator[list[JsonObject]]:
    positions = [{"driver_id": each.id, "lat": each.place.lat, "lng": each.place.lng} for each in drivers]
    for first in range(0, len(positions), BATCH_MAX):
        yield positions[first : first + BATCH_MAX]


def _print_progress(updates: PositionUpdates, elapsed: float, *, json: bool) -> None:
    if json:
        print_json({"event": "moved", "seconds": round(elapsed, 1), **updates.as_dict()})
        return
    # A terminal shows one line that is overwritten, a pipe one line per round.
    end, begin = ("", "\r\x1b[K") if sys.stdout.isatty() else ("\n", "")
    counts = "  ".join(f"{name.replace('_', ' ')} {count}" for name, count in updates.as_dict().items())
    print(f"{begin}{elapsed:5.0f} s  {counts}", end=end, flush=True)


def _finish(updates: PositionUpdates, *, json: bool) -> None:
    if json:
        print_json({"event": "ended", **updates.as_dict()})
    elif sys.stdout.isatty():
        print()
    if not updates.errors:
        return
    last = updates.errors[-1]
    exit_code = UNREACHABLE if updates.last_failed and last.exit_code == UNREACHABLE else FAILED
    what = f"{len(updates.errors)} of {updates.batches} batches failed"
    raise CliError(what, f"{last.what}: {last.why}", last.fix, exit_code)
