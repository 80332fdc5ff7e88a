"""Ten times as many orders as the pipeline can carry: the api must say no soon and politely, hold no more memory for
it, and whatever it accepted must come to rest afterwards."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import psycopg

from tests.bench.dispatching import Fleet, a_fleet
from tests.bench.figures import Aim, Figure
from tests.bench.load import Load, NewOrders, send
from tests.bench.outcomes import Outcome
from tests.bench.servers import Bench
from tests.bench.town import anywhere
from tests.waiting import eventually

CASE = "backpressure"
TIMES = 10
STORMS = 2
"""At most: each leaves thousands of orders to be carried to their rest."""
DRIVERS = 12_000
PLACES = 1000
CONNECTIONS = 512
UNDER_WAY = 200
SAMPLE_SECONDS = 0.25
PAUSE_SECONDS = 300.0
REFUSED = (429, 503)
REST = """
select (select count(*) from orders where status = 'PENDING') + (select count(*) from outbox where published_at is null)
"""


@dataclass(frozen=True)
class _Storm:
    """`memory`: MiB of the api over the time; `rest_seconds`: from the last answer until nothing was under way."""

    sustained: float
    outcome: Outcome
    memory: list[float]
    rest_seconds: float

    @property
    def refused(self) -> int:
        return sum(self.outcome.counts[status] for status in REFUSED)

    @property
    def other(self) -> int:
        """Answers that are neither a yes nor a polite no, broken connections among them."""
        return len(self.outcome.statuses) - self.outcome.accepted - self.refused

    @property
    def growth(self) -> float:
        """The most memory of the second half, in parts of the most of the first."""
        half = len(self.memory) // 2
        return max(self.memory[half:]) / max(self.memory[:half])


async def measure(at: Bench) -> list[Figure]:
    seconds, under_way = (0.5, 20) if at.smoke else (6.0, UNDER_WAY)
    async with a_fleet(at, CASE, 1000 if at.smoke else DRIVERS) as fleet:
        await fleet.spell(fleet.plan(seconds / 2, under_way))
        # Before the storms: a town delivers whatever is under way, and would count what they leave behind as its own.
        sustained = (await fleet.spell(fleet.plan(seconds, under_way))).rate
        storms: list[_Storm] = []
        for number in at.rounds[:STORMS]:
            storms.append(await _storm(fleet, sustained, seconds, f"storm{number}-"))
            last = storms[-1]
            at.say(
                f"{CASE} {number + 1}: {TIMES} x {sustained:.0f}/s, {dict(last.outcome.counts)},"
                f" p95 {last.outcome.milliseconds(95):.0f} ms, at rest after {last.rest_seconds:.0f} s"
            )
        await fleet.verified()
    return _figures(storms)


async def _storm(fleet: Fleet, sustained: float, seconds: float, prefix: str) -> _Storm:
    # From all over the town, as those that were sustained: in a single street, where all drivers are soon taken for a
    # mile, the search for one costs Redis three times as much.
    chance = random.Random(prefix)  # noqa: S311
    orders = NewOrders(prefix, [anywhere(chance) for _ in range(PLACES)])
    memory = [fleet.resident_mb()["api"]]
    sampling = asyncio.create_task(_sample(fleet, memory))
    try:
        outcome = await send(Load(orders, (fleet.port,), CONNECTIONS, seconds, TIMES * sustained))
    finally:
        sampling.cancel()
        await asyncio.wait({sampling})
    loop = asyncio.get_running_loop()
    began = loop.time()
    await eventually(lambda: fleet.measured.count(REST) == 0, within=PAUSE_SECONDS, every=0.25)
    rest_seconds = loop.time() - began
    _check(fleet.measured.conninfo, orders, outcome)
    return _Storm(sustained, outcome, memory, rest_seconds)


async def _sample(fleet: Fleet, memory: list[float]) -> None:
    while True:
        await asyncio.sleep(SAMPLE_SECONDS)
        memory.append(fleet.resident_mb()["api"])


def _check(conninfo: str, orders: NewOrders, outcome: Outcome) -> None:
    """AssertionError unless every order with a 2xx response exists and is no longer pending."""
    answered = zip(outcome.numbers, outcome.statuses, strict=True)
    accepted = [orders.id(number) for number, status in answered if 200 <= status < 300]
    with psycopg.connect(conninfo) as connection:
        kept = connection.execute("select count(*) from orders where id = any(%s) and status <> 'PENDING'", [accepted])
        row = kept.fetchone()
    if row is None or row[0] != len(accepted):
        raise AssertionError(f"{len(accepted)} orders were accepted, of them are there and at rest: {row}")


def _figures(storms: list[_Storm]) -> list[Figure]:
    outcomes = [storm.outcome for storm in storms]
    return [
        _figure("sustained by all roles", "orders/s", [storm.sustained for storm in storms], better_high=True),
        _figure("offered", "orders/s", [TIMES * storm.sustained for storm in storms], better_high=True),
        _figure("accepted", "orders/s", [outcome.rate for outcome in outcomes], better_high=True),
        _figure("refused", "ratio", [storm.refused / len(storm.outcome.statuses) for storm in storms]),
        _figure(
            "all answers, p95",
            "ms",
            [outcome.milliseconds(95) for outcome in outcomes],
            Aim("less than 200 ms", most=200),
        ),
        _figure("all answers, p99", "ms", [outcome.milliseconds(99) for outcome in outcomes]),
        _figure("accepted, p95", "ms", [outcome.milliseconds(95, accepted=True) for outcome in outcomes]),
        _figure(
            "refusals without Retry-After",
            "answers",
            [float(outcome.unexplained) for outcome in outcomes],
            Aim("none", most=0),
        ),
        _figure(
            "neither accepted nor refused with Retry-After",
            "answers",
            [float(storm.other) for storm in storms],
            Aim("none", most=0),
        ),
        _figure("memory of the api, at most", "MiB", [max(storm.memory) for storm in storms]),
        _figure(
            "memory of the api, second half by first",
            "ratio",
            [storm.growth for storm in storms],
            Aim("flat: at most 1.1", most=1.1),
        ),
        _figure("all accepted at rest after", "s", [storm.rest_seconds for storm in storms]),
    ]


def _figure(name: str, unit: str, values: list[float], aim: Aim | None = None, *, better_high: bool = False) -> Figure:
    return Figure(CASE, name, unit, tuple(values), better="higher" if better_high else "lower", aim=aim)
