"""How many orders come in, beside what PostgreSQL itself can do and what a team would build from the usual parts."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import psycopg

from gofleet.listening import free_port
from tests.bench.ceilings import ByPsycopg, by_pgbench
from tests.bench.figures import Aim, Figure, ratio
from tests.bench.load import Load, NewOrders, in_own_process, send
from tests.bench.outcomes import Outcome
from tests.bench.peer import a_peer
from tests.bench.servers import Bench, Measured
from tests.journeys.installation import START_SECONDS, RoleProcess
from tests.waiting import eventually

CASE = "ingest"
CONNECTIONS = 64
PSYCOPG_CONNECTIONS = 16
"""Of bare psycopg: as many as one api has."""
OPEN_CONNECTIONS = 256
EASY = 0.7
"""At this part of what a closed loop got in, latency is measured with an open one."""
PATIENT = {"WEB_TARGET_SECONDS": "10"}
"""No load shedding, as in the peer: a server that sheds requests looks fast, and one stall of the machine would end the
measurement. `backpressure` measures load shedding."""
PGBENCH, PSYCOPG = "pgbench, one statement per order", "bare psycopg, one statement per order"


@dataclass
class _Target:
    """A server that accepts orders over HTTP, its database, and the number of orders sent so far."""

    name: str
    ports: tuple[int, ...]
    conninfo: str
    sent: int = 0
    accepted: int = 0
    closed: list[Outcome] = field(default_factory=list[Outcome])
    open: list[Outcome] = field(default_factory=list[Outcome])

    async def load(self, seconds: float, rate: float | None = None) -> Outcome:
        """AssertionError if any order was not taken."""
        connections = CONNECTIONS if rate is None else OPEN_CONNECTIONS
        request = NewOrders("ingest-")
        outcome = await send(Load(request, self.ports, connections, seconds, rate, seconds / 4, self.sent))
        self.sent += len(outcome.numbers)
        self.accepted += outcome.accepted
        if outcome.accepted != len(outcome.statuses):
            raise AssertionError(f"{self.name} answered {outcome.counts}")
        return outcome

    def check(self) -> None:
        """Every order it accepted is there, with its event."""
        for table in ("orders", "outbox"):
            if (found := _count(self.conninfo, table)) != self.accepted:
                raise AssertionError(f"{self.name} accepted {self.accepted} orders, {table} has {found}")


@dataclass
class _Ceiling:
    """Rates of a client that does nothing else, and how many orders it says there are."""

    name: str
    conninfo: str
    run: Callable[[int], Awaitable[tuple[float, int]]]
    rates: list[float] = field(default_factory=list[float])
    done: int = 0

    async def measure(self) -> None:
        rate, done = await self.run(self.done)
        self.rates.append(rate)
        self.done += done
        if (found := _count(self.conninfo, "orders")) != self.done:
            raise AssertionError(f"{self.name} added {self.done} orders, {found} are there")


async def measure(at: Bench) -> list[Figure]:
    seconds = 0.4 if at.smoke else 4.0
    async with AsyncExitStack() as stack:
        ours = stack.enter_context(at.servers.installation("one", **PATIENT))
        pair = stack.enter_context(at.servers.installation("two", **PATIENT))
        ports = [free_port("127.0.0.1", first) for first in (18_050, 18_100, 18_150)]
        apis = [_launched(owner, port) for owner, port in zip((ours, pair, pair), ports, strict=True)]
        peer_port, peer_conninfo = await stack.enter_async_context(a_peer(at.servers, "peer"))
        for api in apis:
            await eventually(api.ready, within=START_SECONDS, every=0.05)
        one = _Target("one api", (ports[0],), ours.conninfo)
        two = _Target("two apis", (ports[1], ports[2]), pair.conninfo)
        peer = _Target("FastAPI + SQLAlchemy", (peer_port,), peer_conninfo)
        ceilings = [_pgbench(at, stack, seconds), _psycopg(at, stack, seconds)]
        await _measured(at, [one, two, peer], ceilings, seconds)
        for target in (one, two, peer):
            target.check()
    return _figures(one, two, peer, *ceilings)


def _launched(measured: Measured, port: int) -> RoleProcess:
    """An api; side by side, each is given its ports, for until it listens another would take them for free."""
    metrics_port = free_port("127.0.0.1", port + 5_000)
    return measured.installation.launch("api", WEB_SERVER_PORT=str(port), METRICS_PORT=str(metrics_port))


async def _measured(at: Bench, targets: list[_Target], ceilings: list[_Ceiling], seconds: float) -> None:
    for target in targets:  # what is first sent of a process is slower: connections, statements, memory
        await target.load(seconds / 2)
    for number, variant in at.turns(len(targets) + len(ceilings)):
        if variant < len(targets):
            target = targets[variant]
            target.closed.append(await target.load(seconds))
            at.say(f"ingest {number + 1}: {target.name} {target.closed[-1].rate:.0f} orders/s")
        else:
            ceiling = ceilings[variant - len(targets)]
            await ceiling.measure()
            at.say(f"ingest {number + 1}: {ceiling.name} {ceiling.rates[-1]:.0f} orders/s")
    for number, variant in at.turns(len(targets)):
        target = targets[variant]
        rate = EASY * statistics.median(outcome.rate for outcome in target.closed)
        target.open.append(await target.load(seconds, rate))
        at.say(f"ingest {number + 1}: {target.name} at {rate:.0f}/s p95 {target.open[-1].milliseconds(95):.0f} ms")


def _pgbench(at: Bench, stack: AsyncExitStack, seconds: float) -> _Ceiling:
    conninfo = stack.enter_context(at.servers.database("pgbench"))
    return _Ceiling(PGBENCH, conninfo, lambda first: by_pgbench(at.servers, "pgbench", CONNECTIONS, seconds, first))


def _psycopg(at: Bench, stack: AsyncExitStack, seconds: float) -> _Ceiling:
    conninfo = stack.enter_context(at.servers.database("psycopg"))
    return _Ceiling(
        PSYCOPG, conninfo, lambda first: in_own_process(ByPsycopg(conninfo, PSYCOPG_CONNECTIONS, seconds, first))
    )


def _figures(one: _Target, two: _Target, peer: _Target, pgbench: _Ceiling, bare: _Ceiling) -> list[Figure]:
    rates = {target.name: _rates(target) for target in (one, two, peer)}
    most, least = (Figure(CASE, ceiling.name, "orders/s", tuple(ceiling.rates)) for ceiling in (pgbench, bare))
    first, second, other = rates[one.name], rates[two.name], rates[peer.name]
    return [
        *rates.values(),
        most,
        least,
        ratio(first, most, "one api, of pgbench", Aim("at least 45 % of pgbench", least=0.45)),
        ratio(second, most, "two apis, of pgbench", Aim("at least 60 % of pgbench", least=0.6)),
        ratio(first, other, "one api, of the peer", Aim("at least 6 times FastAPI + SQLAlchemy", least=6)),
        *_latencies(one, Aim("less than 155 ms", most=155), Aim("less than 50 ms", most=50)),
        *_latencies(two, None, None),
        *_latencies(peer, None, None),
        _figure("CPU of the generator per request", "µs", [outcome.cpu_micros for outcome in one.closed]),
    ]


def _rates(target: _Target) -> Figure:
    rates = tuple(outcome.rate for outcome in target.closed)
    return Figure(CASE, target.name, "orders/s", rates, ceiling=PGBENCH)


def _latencies(target: _Target, busy: Aim | None, easy: Aim | None) -> list[Figure]:
    aims = {("closed", 99): busy, ("open", 95): easy}
    loops = {"closed": (f"{CONNECTIONS} connections", target.closed), "open": (f"at {EASY:.0%} of it", target.open)}
    return [
        _figure(
            f"{target.name}, {says}, p{percent}",
            "ms",
            [outcome.milliseconds(percent) for outcome in outcomes],
            aims.get((loop, percent)),
        )
        for loop, (says, outcomes) in loops.items()
        for percent in (50, 95, 99)
    ]


def _figure(name: str, unit: str, values: list[float], aim: Aim | None = None) -> Figure:
    return Figure(CASE, name, unit, tuple(values), better="lower", aim=aim)


def _count(conninfo: str, table: str) -> int:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(f"select count(*) from {table}".encode()).fetchone()
    return int(row[0]) if row else 0
