"""Databases that GoFleet does not use: behind a pooler of transactions, or restored from another cluster's dump."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.pool import create_pool
from gofleet.adapters.postgres.preconditions import UnusableDatabase, refuse_foreign_history, refuse_pooler
from gofleet.doctor import CheckState, DoctorOptions, diagnose
from gofleet.embedded.resources import free_ports
from gofleet.settings import load
from tests.makers import an_order
from tests.ports.poolers import a_pooler

HISTORY_OF_ANOTHER_CLUSTER = "update order_log set txid = '900000000'"


def settings_of(conninfo: str) -> dict[str, str]:
    at: Mapping[str, object] = conninfo_to_dict(conninfo)
    names = {"host": "DB_HOST", "port": "DB_PORT", "user": "DB_USER", "password": "DB_PASSWORD", "dbname": "DB_NAME"}
    return {"DB_SSLMODE": "disable", **{name: str(at[key]) for key, name in names.items()}}


async def failed_checks(conninfo: str) -> list[tuple[str, str]]:
    """Those of the doctor about PostgreSQL, with what it saw."""
    diagnosis = await diagnose(DoctorOptions(load(settings_of(conninfo), dotenv=None), ["api"]))
    found = [each for each in diagnosis.results if each.subject == "PostgreSQL"]
    return [(each.check, each.seen) for each in found if each.state is CheckState.FAILED]


async def run(conninfo: str, *command: str) -> tuple[int | None, str]:
    """The exit code and output of a gofleet command; code None if it still runs after twenty seconds."""
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **settings_of(conninfo)}
    metrics, web = free_ports(2)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gofleet", *command,
        env=environ | {"METRICS_PORT": str(metrics), "WEB_SERVER_PORT": str(web)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output = asyncio.create_task(process.communicate())
    done, _ = await asyncio.wait({output}, timeout=20)
    if not done:
        process.send_signal(signal.SIGKILL)
    text = (await output)[0].decode()
    return (process.returncode if done else None), text


@pytest.mark.parametrize("ignores_options", [True, False])
async def test_a_pooler_of_transactions_is_refused_in_words(clean_database: str, ignores_options: bool) -> None:
    async with a_pooler(clean_database, "transaction", ignores_options=ignores_options) as pooled:
        with pytest.raises(UnusableDatabase, match="pooler"):
            await refuse_pooler(pooled)
        [(check, seen)] = await failed_checks(pooled)
        assert check == "pooler"
        assert "PgBouncer" in seen
        for command in (["run", "--role", "api"], ["migrate"]):
            code, output = await run(pooled, *command)
            assert code == 1, output
            assert "connection pooler" in output
            assert "DB_HOST" in output


async def test_a_pooler_that_takes_the_session_settings_is_recognised_by_its_sessions(clean_database: str) -> None:
    """PgBouncer of release 1.20 and later takes `options`."""
    async with a_pooler(clean_database, "transaction", ignores_options=True) as pooled:
        with pytest.raises(UnusableDatabase, match="share one session"):
            await refuse_pooler(make_conninfo(pooled, options=""))


async def test_a_pooler_of_whole_sessions_may_be_used(clean_database: str) -> None:
    async with a_pooler(clean_database, "session", ignores_options=True) as pooled:
        await refuse_pooler(make_conninfo(pooled, options=""))
    await refuse_pooler(clean_database)


async def test_a_history_with_transaction_ids_of_another_cluster_is_refused_in_words(clean_database: str) -> None:
    async with create_pool(clean_database, size=1, wait_seconds=2) as pool:
        await PostgresOrders(pool).add(an_order("o-1"))
    await refuse_foreign_history(clean_database)
    with psycopg.connect(clean_database, autocommit=True) as connection:
        connection.execute("alter table order_log disable trigger append_only")
        connection.execute(HISTORY_OF_ANOTHER_CLUSTER)
        connection.execute("alter table order_log enable trigger append_only")

        with pytest.raises(UnusableDatabase) as refused:
            await refuse_foreign_history(clean_database)
        [(check, seen)] = await failed_checks(clean_database)
        assert check == "history"
        assert "900000000" in seen
        code, output = await run(clean_database, "run", "--role", "api")
        assert code == 1, output
        assert "another cluster" in output

        for statement in refused.value.fix.split("run: ")[1].split("; "):
            connection.execute(statement.encode())
    await refuse_foreign_history(clean_database)
