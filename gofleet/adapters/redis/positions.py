"""Driver positions in Redis: geographical indexes of the free drivers and of all, and a hash for each driver."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec.msgpack import Encoder
from redis.asyncio import Redis

from gofleet.adapters.redis.driver_queries import RedisDriverQueries, indexed_lng
from gofleet.adapters.redis.names import escape_glob
from gofleet.adapters.redis.reaches import SearchReaches
from gofleet.adapters.redis.scripts import Script, ScriptPipeline, decode_rows
from gofleet.domain.driver import (
    FIX_ERROR_M,
    AreaQuery,
    Candidate,
    Driver,
    DriversInArea,
    Position,
    PositionOutcome,
    PositionTooFar,
    Sighting,
)
from gofleet.domain.place import Place
from gofleet.ports import Holding, Search

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR_MS = 3_600_000
FREED_MS = HOUR_MS
"""Lifetime of the record that a driver was freed from an order: longer than an event can be late."""
SCAN_COUNT = 1000
SEARCH_BATCH_MAX = 8
"""Searches in one write: among many drivers one takes a good part of a millisecond."""
MILLISECOND = timedelta(milliseconds=1)
ENCODER = Encoder()
SMALL_UPDATE_MAX = 4
"""Positions that share a write with other small updates."""
UPDATE_BATCH_MAX = 100
"""Positions that one script stores: a few milliseconds at most, in which the server does nothing else."""
TOO_FAR = "2"
OUTCOMES = {"0": PositionOutcome.OLDER, "1": PositionOutcome.STORED, "3": PositionOutcome.UNREGISTERED}
"""What move.lua returns for a position that is not too far."""


class RedisPositions:
    """`Positions`, each method one atomic script; every method raises `Unavailable` when Redis is unavailable.

    Keys, after `prefix`: `drivers:free` (geo index of free drivers, which searches use), `drivers:seen` (geo index of
    all drivers), `drivers:heard` (all drivers by the time of their last update), `driver:<id>` (name, duty, and the
    version of that record; position, travel budget), `busy:<id>` (the orders of the driver with their sequences),
    `claim:<id>` (the order that claims the driver), `claimed:<order>` (the driver claimed), and `freed:<id>/<order>`
    (the sequence with which the order ended).
    A driver without a `version` is not registered: it is in no index, and its position is kept only while it is fresh.
    A driver is busy while it holds any order, so events of different orders may arrive in any order; sequences order
    the events of one order. A driver stays busy for at most `busy_seconds`, in case the event that frees it is lost
    together with Redis's data: PostgreSQL is authoritative. A driver without an update for `forget_seconds` is unknown.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        prefix: str,
        stale_seconds: float,
        claim_ms: int,
        busy_seconds: float = 43_200,
        forget_seconds: float = 7 * 86_400,
    ) -> None:
        self._prefix = prefix
        self._free = f"{prefix}drivers:free"
        self._seen = f"{prefix}drivers:seen"
        self._heard = f"{prefix}drivers:heard"
        self._stale_ms = round(stale_seconds * 1000)
        self._claim_ms = claim_ms
        self._busy_ms = round(busy_seconds * 1000)
        self._forget_ms = round(forget_seconds * 1000)
        self._queries = RedisDriverQueries(redis, prefix, self._stale_ms)
        # Events are short and not urgent: with one write at a time, each carries more of them.
        searches, events, bulk = (
            ScriptPipeline(redis, batch_max=SEARCH_BATCH_MAX),
            ScriptPipeline(redis, concurrency=1),
            ScriptPipeline(redis, batch_max=1),
        )
        self._reaches = SearchReaches()
        self._claim_script = Script(searches, "settle", "claim_nearest")
        self._register_script = Script(events, "settle", "register")
        self._occupy_script = Script(events, "occupy")
        self._free_script = Script(events, "settle", "free")
        self._move_small = Script(events, "settle", "travel", "move")
        self._move_large = Script(bulk, "settle", "travel", "move")
        self._holdings_script = Script(bulk, "holdings")
        self._unregister_script = Script(events, "unregister")
        self._registrations_script = Script(bulk, "registrations")

    async def claim_nearest(self, search: Search) -> list[Candidate]:
        """Free drivers by distance; the first is claimed for the order for `claim_ms`, or its claim is prolonged."""
        radius_m = search.radius_km * 1000
        response = await self._claim_script(
            [self._free, f"{self._prefix}claimed:{search.order_id}"],
            self._prefix,
            search.order_id,
            indexed_lng(search.pickup),
            search.pickup.lat,
            radius_m,
            search.limit,
            self._stale_ms,
            self._claim_ms,
            self._reaches.first(search.pickup, radius_m),
            *search.exclude,
        )
        self._reaches.learn(search.pickup, float(response[1]))
        values = decode_rows(response)
        return [_candidate(values[start : start + 5]) for start in range(0, len(values), 5)]

    async def nearest(self, place: Place, radius_km: float, limit: int) -> list[Sighting]:
        """Drivers on duty near `place`, nearest first, free or not."""
        return await self._queries.nearest(place, radius_km, limit)

    async def within(self, area: AreaQuery) -> DriversInArea:
        """Drivers inside the area, nearest to its centre first."""
        return await self._queries.within(area)

    async def locate(self, driver_ids: Sequence[str]) -> list[Sighting]:
        """The drivers whose position is known, each once."""
        return await self._queries.locate(driver_ids)

    async def update_positions(self, positions: Sequence[Position]) -> list[PositionOutcome]:
        """Store validated positions that are not older than the stored ones."""
        outcomes: list[PositionOutcome] = []
        for start in range(0, len(positions), UPDATE_BATCH_MAX):
            batch = positions[start : start + UPDATE_BATCH_MAX]
            script = self._move_small if len(batch) <= SMALL_UPDATE_MAX else self._move_large
            outcomes += [OUTCOMES[outcome] for outcome in await self._move(script, batch)]
        return outcomes

    async def update_own_position(self, position: Position, max_kmh: float) -> PositionOutcome:
        """As `update_positions` for one position, charged to the driver's `TravelBudget`; `PositionTooFar`."""
        [outcome] = await self._move(self._move_small, [position], max_kmh)
        if outcome == TOO_FAR:
            raise PositionTooFar(max_kmh)
        return OUTCOMES[outcome]

    async def _move(self, script: Script, positions: Sequence[Position], max_kmh: float | None = None) -> str:
        """The outcome of each position, as in move.lua."""
        rows = ENCODER.encode([value for each in positions for value in _row(each)])
        keys = [self._free, self._seen, self._heard]
        limits = (FIX_ERROR_M, max_kmh) if max_kmh else ()
        return str((await script(keys, self._prefix, self._stale_ms, self._forget_ms, rows, *limits))[0])

    async def register(self, driver: Driver, seen: int | None = None) -> None:
        """Store the record, unless a later version is registered that is not `seen`, the one to be replaced.

        A driver off duty is never found; back on duty, its stored position counts if it is fresh.
        """
        keys = [self._free, self._seen, self._heard, self._driver(driver.id), self._busy(driver.id)]
        record = [driver.id, driver.name, int(driver.on_duty), driver.version, _version_text(seen)]
        await self._register_script(keys, self._stale_ms, self._forget_ms, *record)

    async def unregister(self, driver_id: str, seen: int | None) -> None:
        """Forget the record if its version is still `seen`: the driver is neither found nor seen any more."""
        keys = [self._free, self._seen, self._heard, self._driver(driver_id)]
        await self._unregister_script(keys, self._stale_ms, driver_id, _version_text(seen))

    async def registrations(self, limit: int) -> AsyncGenerator[Mapping[str, int | None]]:
        """Drivers and their registered versions; changes made meanwhile may be missing, and a driver repeated."""
        before, cursor = self._driver(""), "0"
        pattern = escape_glob(before) + "*"
        while True:
            cursor, *rows = await self._registrations_script([], pattern, before, cursor, limit)
            if rows:
                yield {
                    str(id): int(version) if version else None
                    for id, version in zip(rows[::2], rows[1::2], strict=True)
                }
            if cursor == "0":
                return

    async def occupy(self, driver_id: str, order_id: str, sequence: int) -> None:
        """The driver holds the order since event `sequence`, unless a later event has freed it already."""
        keys = [self._free, self._busy(driver_id), self._freed(driver_id, order_id), self._claim(driver_id)]
        await self._occupy_script(keys, driver_id, order_id, sequence, self._busy_ms)

    async def free(self, driver_id: str, order_id: str, sequence: int) -> None:
        """The driver no longer holds the order since event `sequence`; its other orders stay."""
        keys = [self._free, self._driver(driver_id), self._busy(driver_id), self._freed(driver_id, order_id)]
        await self._free_script(keys, self._stale_ms, driver_id, order_id, sequence, FREED_MS)

    async def holdings(self) -> Sequence[Holding]:
        """The orders of all drivers; holdings that change meanwhile may be missing."""
        holdings: set[Holding] = set()  # SCAN may return a key twice
        before, cursor = self._busy(""), "0"
        pattern = escape_glob(before) + "*"
        while True:
            cursor, *rows = await self._holdings_script([], pattern, before, cursor, SCAN_COUNT)
            for driver_id, order_id, sequence in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
                holdings.add(Holding(str(driver_id), str(order_id), int(sequence)))
            if cursor == "0":
                return sorted(holdings)

    def _driver(self, driver_id: str) -> str:
        return f"{self._prefix}driver:{driver_id}"

    def _busy(self, driver_id: str) -> str:
        return f"{self._prefix}busy:{driver_id}"

    def _claim(self, driver_id: str) -> str:
        return f"{self._prefix}claim:{driver_id}"

    def _freed(self, driver_id: str, order_id: str) -> str:
        # A slash, because identifiers may contain colons.
        return f"{self._prefix}freed:{driver_id}/{order_id}"


def _row(position: Position) -> tuple[str, str, str, int]:
    recorded_at_ms = (position.recorded_at - EPOCH) // MILLISECOND
    return position.driver_id, repr(position.place.lat), repr(position.place.lng), recorded_at_ms


def _version_text(version: int | None) -> str:
    return "" if version is None else str(version)


def _candidate(row: Sequence[str | int]) -> Candidate:
    driver_id, name, lat, lng, distance_m = row
    return Candidate(str(driver_id), str(name), Place(float(lat), float(lng)), float(distance_m))
