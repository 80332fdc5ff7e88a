"""What PostgreSQL itself can do: the statement that adds one order and its event, by clients that do nothing else."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import subprocess
import time
from dataclasses import dataclass
from uuid import UUID

import psycopg
import uvloop

from gofleet.embedded.postgres import bin_dir_from_wheel
from tests.bench.servers import Servers

PAYLOAD = (
    '{"version":1,"order_id":"a-000000000000000001","sequence":1,"status":"PENDING","customer_id":null,"price":"100.00",'
    '"tax":"10.00","final_price":"110.00","pickup":{"lat":-23.5505,"lng":-46.6333},"dropoff":null}'
)
"""As long as a real event's."""

# One order in one statement and one commit: order, history (by its trigger) and event, on our own tables.
ADD = """
with added as (
    insert into orders (id, price, tax, final_price, pickup_lat, pickup_lng, moved_by)
    values ({id}, 100, 10, 110, -23.5505, -46.6333, 'client')
    on conflict (id) do nothing
    returning id, created_at, pending_since
), announced as (
    insert into outbox (event_id, aggregate_id, seq, event_type, payload)
    select {event_id}, id, 1, 'orders.created', {payload} || jsonb_build_object('occurred_at', created_at)
    from added
)
select created_at, pending_since from added
"""
# Keys that grow, as time-ordered UUIDs do: random ones would make the index dearer.
EVENT_ID = "(lpad(to_hex(:n::bigint), 8, '0') || '-0000-7000-8000-' || lpad(to_hex(:client_id::bigint), 12, '0'))::uuid"
PGBENCH = (
    "\\set n :n + 1\n\\set id 1000000000000000 * (:client_id + 1) + :n\n"
    + " ".join(ADD.format(id=":id", event_id=EVENT_ID, payload=":payload::jsonb").split())
    + ";\n"
)
SECONDS_MIN = 4
"""The time includes the logins: those of 64 clients take a second of a busy machine."""
DONE = re.compile(r"number of transactions actually processed: (\d+)")
RATE = re.compile(r"tps = ([\d.]+) \(without initial connection time\)")


async def by_pgbench(
    servers: Servers, database: str, connections: int, seconds: float, first: int
) -> tuple[float, int]:
    """Statements a second, and how many there were; keys grow from `first`."""
    script = servers.place / "add.sql"
    script.write_text(PGBENCH)
    address = servers.postgres.address
    process = await asyncio.create_subprocess_exec(
        bin_dir_from_wheel() / "pgbench",
        *("--no-vacuum", "--client", str(connections), "--jobs", "2", "--protocol", "prepared"),
        *("--time", str(max(SECONDS_MIN, round(seconds))), "--define", f"n={first}", "--define", f"payload={PAYLOAD}"),
        *("--file", script, "--host", address.host, "--port", str(address.port), "--username", address.user, database),
        env=os.environ | {"PGPASSWORD": address.password},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    done, rate = DONE.search(output), RATE.search(output)
    if process.returncode or done is None or rate is None:
        raise AssertionError(output)
    return float(rate[1]), int(done[1])


@dataclass(frozen=True)
class ByPsycopg:
    """The same through psycopg, prepared, in a process of its own: statements a second, and how many there were."""

    conninfo: str
    connections: int
    seconds: float
    first: int

    def __call__(self) -> tuple[float, int]:
        return uvloop.run(self._run())

    async def _run(self) -> tuple[float, int]:
        statement = ADD.format(id="%(id)s", event_id="%(event_id)s", payload="%(payload)s::jsonb").encode()
        numbers = itertools.count(self.first)
        done = 0
        until = time.perf_counter() + self.seconds

        async def client() -> None:
            nonlocal done
            async with await psycopg.AsyncConnection.connect(self.conninfo, autocommit=True) as connection:
                while time.perf_counter() < until:
                    number = next(numbers)
                    values = {"id": f"psycopg-{number:012}", "event_id": UUID(int=number), "payload": PAYLOAD}
                    added = await connection.execute(statement, values, prepare=True)
                    if await added.fetchone() is None:
                        raise AssertionError(f"order {number} was there already")
                    done += 1

        began = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(self.connections)))
        return done / (time.perf_counter() - began), done
