"""Where drivers are, kept in Redis: geographical indexes of the free ones and of all, and a hash for each driver."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from msgspec.msgpack import Encoder
from redis.asyncio import Redis

from gofleet.adapters.redis.driver_queries import RedisDriverQueries
from gofleet.adapters.redis.scripts import Script, ScriptPipeline, decode_rows, escape_glob, translate_redis_errors
from gofleet.domain.driver import AreaQuery, Candidate, Driver, Position, Sighting
from gofleet.domain.place import Place
from gofleet.ports import Holding, Search

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR_MS = 3_600_000
REMEMBER_MS = HOUR_MS
"""How long it is known that an order was taken off a driver: longer than news can be late."""
SCANNED_AT_ONCE = 1000
SEARCHES = 8
"""In one write: in a crowd one takes a good part of a millisecond."""
MILLISECOND = timedelta(milliseconds=1)
ENCODER = Encoder()
FEW = 4
"""Positions that go along with others' news."""
BATCH = 100
"""Positions a script handles in one go: a few milliseconds at most, in which the server does nothing else."""


class RedisPositions:
    """`Positions`, each method one atomic script; `Unavailable` from any of them when Redis is.

    Keys, after `prefix`: `drivers:free` (the index that is searched), `drivers:seen` (the index of all),
    `drivers:heard` (the same by when they were heard of), `driver:<id>` (name, duty, position), `busy:<id>` (the orders
    it holds with their sequences), `claim:<id>` (which order), `claimed:<order>` (which driver),
    `freed:<id>/<order>` (with which sequence), and `drivers:known` (there for as long as nothing was forgotten).
    A driver is busy while it holds any order, so news of different orders may come in any order; sequences put the
    news of one order right. Nobody stays busy for longer than `busy_seconds`, should the news of the end have been
    lost together with Redis's memory: Postgres has the last word. A driver nobody has heard of for `forget_seconds` is
    unknown again.
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
        self._redis = cast("Any", redis)  # its commands are typed for the synchronous client too
        self._free = f"{prefix}drivers:free"
        self._seen = f"{prefix}drivers:seen"
        self._heard = f"{prefix}drivers:heard"
        self._known = f"{prefix}drivers:known"
        self._stale_ms = round(stale_seconds * 1000)
        self._claim_ms = claim_ms
        self._busy_ms = round(busy_seconds * 1000)
        self._forget_ms = round(forget_seconds * 1000)
        self._sightings = RedisDriverQueries(redis, prefix, self._stale_ms)
        # News are short, and nobody is in a hurry for them: one write at a time takes more of them along.
        searches, news, bulk = (
            ScriptPipeline(redis, most=SEARCHES),
            ScriptPipeline(redis, at_once=1),
            ScriptPipeline(redis, most=1),
        )
        self._claim_script = Script(searches, "settle", "claim_nearest")
        self._register_script = Script(news, "settle", "register")
        self._occupy_script = Script(news, "occupy")
        self._free_script = Script(news, "settle", "free")
        self._move_few = Script(news, "settle", "move")
        self._move_many = Script(bulk, "settle", "move")
        self._holdings_script = Script(bulk, "holdings")

    async def claim_nearest(self, search: Search) -> list[Candidate]:
        """Free drivers by distance; the first is claimed for the order for `claim_ms`, or again if it was before."""
        answer = await self._claim_script(
            [self._free, f"{self._prefix}claimed:{search.order_id}"],
            self._prefix,
            search.order_id,
            search.pickup.lng,
            search.pickup.lat,
            search.radius_km * 1000,
            search.limit,
            self._stale_ms,
            self._claim_ms,
            *search.exclude,
        )
        values = decode_rows(answer)
        return [_candidate(values[start : start + 5]) for start in range(0, len(values), 5)]

    async def nearest(self, place: Place, radius_km: float, limit: int) -> list[Sighting]:
        """Who is on duty near `place`, nearest first, free or not."""
        return await self._sightings.nearest(place, radius_km, limit)

    async def within(self, area: AreaQuery) -> list[Sighting]:
        """Who is inside, nearest to the middle first."""
        return await self._sightings.within(area)

    async def locate(self, driver_ids: Sequence[str]) -> list[Sighting]:
        """Those of them whose position is known, each once."""
        return await self._sightings.locate(driver_ids)

    async def update_positions(self, positions: Sequence[Position]) -> list[bool]:
        """Checked positions in; False for each that is older than what is known."""
        applied: list[bool] = []
        for start in range(0, len(positions), BATCH):
            batch = positions[start : start + BATCH]
            rows = ENCODER.encode([value for each in batch for value in _row(each)])
            move = self._move_few if len(batch) <= FEW else self._move_many
            answer = await move(
                [self._free, self._seen, self._heard], self._prefix, self._stale_ms, self._forget_ms, rows
            )
            applied += [one == "1" for one in str(answer[0])]
        return applied

    async def register(self, driver: Driver) -> None:
        """Off duty means never found; back on duty, the known position counts if it is fresh."""
        keys = [self._free, self._heard, self._driver(driver.id), self._busy(driver.id)]
        args = [self._stale_ms, self._forget_ms, driver.id, driver.name, int(driver.on_duty)]
        await self._register_script(keys, *args)

    async def occupy(self, driver_id: str, order_id: str, sequence: int) -> None:
        """The driver holds the order since its event number `sequence`, unless a later one has ended that already."""
        keys = [self._free, self._busy(driver_id), self._freed(driver_id, order_id), self._claim(driver_id)]
        await self._occupy_script(keys, driver_id, order_id, sequence, self._busy_ms)

    async def free(self, driver_id: str, order_id: str, sequence: int) -> None:
        """The driver does not hold the order any more since its event number `sequence`; other orders stay."""
        keys = [self._free, self._driver(driver_id), self._busy(driver_id), self._freed(driver_id, order_id)]
        await self._free_script(keys, self._stale_ms, driver_id, order_id, sequence, REMEMBER_MS)

    async def holdings(self) -> Sequence[Holding]:
        """Who holds what, as far as is known here; what changes meanwhile may be missing."""
        found: set[Holding] = set()  # SCAN may show a key twice
        before, cursor = self._busy(""), "0"
        pattern = escape_glob(before) + "*"
        while True:
            cursor, *rows = await self._holdings_script([], pattern, before, cursor, SCANNED_AT_ONCE)
            for driver_id, order_id, sequence in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
                found.add(Holding(str(driver_id), str(order_id), int(sequence)))
            if cursor == "0":
                return sorted(found)

    async def is_initialized(self) -> bool:
        """Whether everything since `remember` is still known."""
        with translate_redis_errors():
            return bool(await self._redis.execute_command("EXISTS", self._known))

    async def mark_initialized(self) -> None:
        with translate_redis_errors():
            await self._redis.execute_command("SET", self._known, 1)

    def _driver(self, driver_id: str) -> str:
        return f"{self._prefix}driver:{driver_id}"

    def _busy(self, driver_id: str) -> str:
        return f"{self._prefix}busy:{driver_id}"

    def _claim(self, driver_id: str) -> str:
        return f"{self._prefix}claim:{driver_id}"

    def _freed(self, driver_id: str, order_id: str) -> str:
        # A slash cannot be part of an identifier, a colon can.
        return f"{self._prefix}freed:{driver_id}/{order_id}"


def _row(position: Position) -> tuple[str, str, str, int]:
    recorded_at_ms = (position.recorded_at - EPOCH) // MILLISECOND
    return position.driver_id, repr(position.place.lat), repr(position.place.lng), recorded_at_ms


def _candidate(row: Sequence[str | int]) -> Candidate:
    driver_id, name, lat, lng, distance_m = row
    return Candidate(str(driver_id), str(name), Place(float(lat), float(lng)), float(distance_m))
