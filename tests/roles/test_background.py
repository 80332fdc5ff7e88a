"""Background work that meets an unexpected database error: the api continues to serve."""

from __future__ import annotations

import asyncio
from functools import partial

import httpx
import psycopg
from psycopg.conninfo import conninfo_to_dict

from gofleet.embedded.resources import free_ports
from gofleet.process import Process
from gofleet.roles.api import api
from gofleet.settings import load
from tests.telemetry.moved import sample
from tests.waiting import eventually

ORDER = {"price": 100, "tax": 10}


def errors_of(work: str) -> float:
    return sample("gofleet_background_errors_total", work=work) or 0


async def posted(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.post("/api/v1/orders", json=ORDER)).status_code == 201
    except httpx.TransportError:
        return False


async def test_an_unforeseen_database_error_in_background_work_does_not_end_the_api(clean_database: str) -> None:
    database, port = conninfo_to_dict(clean_database), free_ports(1)[0]
    settings = load(
        {
            "DB_HOST": str(database["host"]),
            "DB_PORT": str(database["port"]),
            "DB_USER": str(database["user"]),
            "DB_PASSWORD": str(database["password"]),
            "DB_NAME": str(database["dbname"]),
            "DB_SSLMODE": "disable",
            "WEB_SERVER_PORT": str(port),
            "METRICS_PORT": str(free_ports(1)[0]),
            "WEB_COUNT_SECONDS": "0.05",
            "GRACE_SECONDS": "1",
        },
        dotenv=None,
    )
    process = Process(settings, ["api"])
    running = asyncio.create_task(process.run([api]))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        await eventually(partial(posted, http), within=20)
        with psycopg.connect(clean_database, autocommit=True) as connection:
            connection.execute("alter table request_counts rename to renamed")
            assert await posted(http)
            await eventually(lambda: errors_of("request counts") >= 1)
            assert await posted(http)
            connection.execute("alter table renamed rename to request_counts")

            def counts() -> int:
                row = connection.execute(
                    "select count(*) from request_counts where at > now() - interval '1 s'"
                ).fetchone()
                return row[0] if row else 0

            await eventually(counts)
    process.stopping.set()
    await running
