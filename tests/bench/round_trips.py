"""Round trips, as the servers count them."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Mapping
from http.client import HTTPConnection
from typing import Any

import psycopg
import redis.asyncio

from tests.bench.dispatching import Fleet
from tests.databases import conninfo_of

OWN = "%from orders where status = 'DISPATCHED'"
"""The statement by which the load generator looks for dispatched orders."""
STATEMENTS = """
    select coalesce(sum(calls), 0)::bigint from pg_stat_statements
    join pg_database on pg_database.oid = dbid where datname = %s and query not like %s
"""
SCRIPTS = ("evalsha", "eval", "evalsha_ro", "fcall", "fcall_ro")
STREAMS = re.compile(r"^gofleet_grpc_request_duration_seconds_count\{.*\} (\S+)$", re.MULTILINE)


async def counted(fleet: Fleet) -> Mapping[str, float]:
    """Since the servers started, PostgreSQL's while its statements are counted; a difference of two is meaningful."""
    return {
        "PostgreSQL statements": _statements(fleet),
        "Redis scripts": await _scripts(fleet),
        "gRPC streams": _streams(fleet),
        "RabbitMQ packets": await asyncio.to_thread(_packets, fleet),
    }


def _statements(fleet: Fleet) -> float:
    name = fleet.measured.installation.environment["DB_NAME"]
    with psycopg.connect(conninfo_of(fleet.bench.servers.postgres, "postgres")) as connection:
        connection.execute("create extension if not exists pg_stat_statements")
        row = connection.execute(STATEMENTS.encode(), [name, OWN]).fetchone()
    return float(row[0]) if row else 0.0


async def _scripts(fleet: Fleet) -> float:
    at = fleet.bench.servers.valkey.address
    client: Any = redis.asyncio.Redis(host=at.host, port=at.port, password=at.password)
    async with client:
        found = await client.info("commandstats")
    return float(sum(found.get(f"cmdstat_{name}", {}).get("calls", 0) for name in SCRIPTS))


def _streams(fleet: Fleet) -> float:
    (port,) = (each.metrics_port for each in fleet.measured.installation.processes if each.name.startswith("fleet"))
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        return sum(map(float, STREAMS.findall(connection.getresponse().read().decode())))
    finally:
        connection.close()


def _packets(fleet: Fleet) -> float:
    """Received and sent, over the connections that are open."""
    command, environment = fleet.bench.servers.rabbit.ctl_command("-q", "list_connections", "recv_cnt", "send_cnt")
    listed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return float(sum(int(word) for word in listed.stdout.split() if word.isdecimal()))
