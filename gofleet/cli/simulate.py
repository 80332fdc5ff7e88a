"""`gofleet drivers simulate`: simulated drivers whose position updates are sent to the API in batches."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from gofleet.cli.api_client import DEFAULT_URL, TIMEOUT_SECONDS, Url, auth_headers, decode_response, unreachable
from gofleet.cli.output import Json, JsonObject, print_json
from gofleet.cli.params import LAT_LNG, LatLng

if TYPE_CHECKING:
    from gofleet.simulation.api import RetryingApi
    from gofleet.simulation.city import City, SimulatedDriver

BATCH_MAX = 500
"""Positions in one request, the limit of the API."""
COUNTS = ("applied", "older", "refused")
POSITIVE = Number(gt=0)
FIRST_ANSWER_SECONDS = 10.0
"""How long an API that has not answered yet is waited for: it may not exist."""
LAST_ANSWER_SECONDS = 10.0
"""How long after the end of the simulation an unavailable API is waited for."""
CATCH_UP_SECONDS = 2.0
"""Updates that are later than this, after an outage, are left out."""


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

    Requests are repeated while the API is unavailable, and counted. A rejected one ends the command. Ctrl-C ends it
    early.
    """
    import asyncio

    import httpx

    from gofleet.domain.place import Place
    from gofleet.simulation.api import UnexpectedResponse
    from gofleet.simulation.city import City

    city = City(Place(around.lat, around.lng), seed, count, radius_km)
    try:
        asyncio.run(_simulate(city, url, seconds, every, json=json))
    except UnexpectedResponse as error:
        decode_response(url, error.response)  # raises, with the problem and its fix
        raise
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise unreachable(url, error) from error


class PositionUpdates:
    """Sends positions and counts the API's results."""

    def __init__(self, api: RetryingApi, url: str) -> None:
        self.sent = 0
        self.counts: Counter[str] = Counter()
        self._api, self._url = api, url

    async def send(self, drivers: Sequence[SimulatedDriver]) -> None:
        for batch in _batches(drivers):
            response = await self._api.request("POST", "/drivers/positions", body={"positions": batch})
            body = decode_response(self._url, response)
            self.sent += len(batch)
            self.counts.update({name: int(body.get(name, 0)) for name in COUNTS})

    def as_dict(self) -> JsonObject:
        counts = {name: self.counts[name] for name in COUNTS}
        return {"sent": self.sent, **counts, "retried": self._api.retries.counts.total()}


async def _simulate(city: City, url: str, seconds: float, every: float, *, json: bool) -> None:
    import asyncio

    import httpx

    from gofleet.simulation.api import RetryingApi

    async with httpx.AsyncClient(
        base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False, headers=auth_headers(url)
    ) as http:
        api = RetryingApi(http)
        await _register(city, api, url, json=json)
        updates, start = PositionUpdates(api, url), time.monotonic()
        try:
            async with asyncio.timeout(seconds + LAST_ANSWER_SECONDS):
                for number in range(max(1, round(seconds / every))):
                    late = time.monotonic() - start - number * every
                    if late > CATCH_UP_SECONDS:
                        continue
                    await asyncio.sleep(max(-late, 0))
                    await updates.send(city.advance(time.monotonic()))
                    _print_progress(updates, time.monotonic() - start, json=json)
        except TimeoutError as error:
            raise _unavailable(url, api) from error
        finally:
            _print_end(updates, json=json)


async def _register(city: City, api: RetryingApi, url: str, *, json: bool) -> None:
    import asyncio

    from gofleet.simulation.api import register_drivers

    drivers = list(city.drivers.values())
    try:
        async with asyncio.timeout(FIRST_ANSWER_SECONDS):
            await register_drivers(api, drivers[:1])
    except TimeoutError as error:
        raise _unavailable(url, api) from error
    await register_drivers(api, drivers[1:])
    if json:
        print_json({"event": "registered", "drivers": len(drivers)})
    else:
        print(f"{len(drivers)} drivers registered")


def _unavailable(url: str, api: RetryingApi) -> Exception:
    return unreachable(url, TimeoutError(f"requests repeated: {api.retries}"))


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
    counts = "  ".join(f"{name} {count}" for name, count in updates.as_dict().items())
    print(f"{begin}{elapsed:5.0f} s  {counts}", end=end, flush=True)


def _print_end(updates: PositionUpdates, *, json: bool) -> None:
    if json:
        print_json({"event": "ended", **updates.as_dict()})
    elif sys.stdout.isatty():
        print()
