"""F6, F11, F16: PostgreSQL dies in part or whole, its answers are lost, it is slow."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.chaos.member import Member
from tests.chaos.proxy import Connection
from tests.chaos.trial import Trial, fault
from tests.chaos.wire import Statements

AWAY_SECONDS = 6.0
STORM_SECONDS = 6.0
STORM_EVERY_SECONDS = 0.03
WRITES = ("insert into orders", "update orders", "update outbox", "insert into inbox")
SLOW_SECONDS = 0.3
GROWTH_MB = 80


@fault("F6", "PostgreSQL: a child killed, shut down at once for 6 s, connections terminated every 30 ms")
async def postgres_away(trial: Trial) -> None:
    world, server = trial.world, trial.world.servers.postgres
    async with trial.load(orders=50, rate=10):
        await asyncio.sleep(1.5)
        victim = trial.dice.choice(await _backends(trial))
        os.kill(victim, signal.SIGKILL)  # the postmaster then ends every session and recovers
        await asyncio.sleep(3)
    async with trial.load(orders=50, rate=8):
        await asyncio.sleep(1.5)
        server.kill()
        await asyncio.sleep(AWAY_SECONDS)
        await server.start()
    async with trial.load(orders=60, rate=10):
        await asyncio.sleep(0.5)
        trial.note(f"{await _terminate_for(trial, STORM_SECONDS)} sessions terminated")
    trial.check(await _answers(trial), "the api does not answer after PostgreSQL is back")
    for member in world.of("worker", "relay", "fleet", "api"):
        trial.check(member.alive, f"{member.name} ended because PostgreSQL was unavailable")


@fault("F11", "PostgreSQL's answer to a write is lost: committed, or not?")
async def answer_lost(trial: Trial) -> None:
    lost = 0

    def doom_writes(connection: Connection, data: bytes) -> None:
        nonlocal lost
        statements = connection.memory.setdefault("statements", Statements())
        assert isinstance(statements, Statements)
        writes = [sql for sql in statements.feed(data) if any(write in sql.lower() for write in WRITES)]
        if writes and trial.dice.random() < 0.15:
            connection.doomed = True  # the server receives and runs it; the client never gets the result
            lost += 1

    async with trial.load(orders=60, rate=12):
        for edge in trial.world.edges("postgres"):
            edge.drop()  # so that every connection is watched from its first byte
            edge.on_up = doom_writes
        await asyncio.sleep(6)
        for edge in trial.world.edges("postgres"):
            edge.on_up = None
    trial.note(f"{lost} answers lost")
    trial.check(lost > 10, f"only {lost} answers were lost, which proves little")


@fault("F16", "PostgreSQL answers 300 ms later: work waits in the queue and not in memory")
async def postgres_slow(trial: Trial) -> None:
    workers = trial.world.of("worker", "relay", "api")
    before = {member.name: memory_mb(member) for member in workers}
    client = trial.stage.client
    first = len(client.seconds)
    async with trial.load(orders=80, rate=20):
        for edge in trial.world.edges("postgres"):
            edge.slow(SLOW_SECONDS)
        await asyncio.sleep(10)
    grown = {member.name: memory_mb(member) - before[member.name] for member in workers if member.alive}
    worst = sorted(client.seconds[first:])
    p95 = worst[int(0.95 * (len(worst) - 1))] if worst else 0.0
    trial.note(f"p95 of all requests {p95:.2f} s, memory grew by at most {max(grown.values()):.0f} MB")
    trial.check(max(grown.values()) < GROWTH_MB, f"memory grew by {grown} MB")
    trial.check(p95 < 2.5, f"p95 is {p95:.2f} s, though no request should wait longer than 2 s for a connection")


async def _backends(trial: Trial) -> list[int]:
    """The processes that serve the roles' connections."""
    async with trial.world.connection() as connection:
        found = await connection.execute(
            "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        )
        return [int(row[0]) for row in await found.fetchall()]


async def _terminate_for(trial: Trial, seconds: float) -> int:
    until, count = time.monotonic() + seconds, 0
    async with trial.world.connection() as connection:
        while time.monotonic() < until:
            with suppress(psycopg.Error):
                found = await connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
                    " and pid <> pg_backend_pid() order by random() limit 1"
                )
                count += found.rowcount
            await asyncio.sleep(STORM_EVERY_SECONDS)
    return count


async def _answers(trial: Trial) -> bool:
    answer = await trial.stage.client.ask("GET", "/api/v1/orders?limit=1")
    return answer is not None and answer.ok


def memory_mb(member: Member) -> float:
    """What a process holds in RAM."""
    pages = int(Path(f"/proc/{member.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
