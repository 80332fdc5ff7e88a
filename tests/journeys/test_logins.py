"""Each process has its own login in PostgreSQL and does not start without the privileges of its role."""

from __future__ import annotations

import psycopg

from gofleet.roles import ORDER
from tests.databases import create_login, login_of
from tests.journeys.installation import Installation, Town
from tests.waiting import eventually


async def test_each_process_uses_its_own_login(installation: Installation, town: Town, clean_database: str) -> None:
    installation.start(*ORDER)
    await town.add_drivers(1)
    await town.create_order("o-1")

    async def dispatched() -> bool:
        return await town.order_status("o-1") == "DISPATCHED"

    await eventually(dispatched)
    with psycopg.connect(clean_database) as connection:
        query = (
            "select distinct usename from pg_stat_activity"
            " where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        assert {name for (name,) in connection.execute(query)} == set(map(login_of, ORDER))


def test_missing_privileges_are_named_at_the_start(installation: Installation) -> None:
    login = login_of("fleet")

    worker = installation.launch("worker", DB_USER=login)

    assert worker.wait() == 1
    what, why, fix = worker.log.read_text().splitlines()[-3:]
    assert what == "error: the PostgreSQL login lacks privileges"
    assert f"{login} may not insert on inbox, insert on order_log" in why
    assert fix == f'  fix: as an administrator, run: grant gofleet_worker to "{login}"'
    assert "Traceback" not in worker.log.read_text()


def test_a_login_outside_the_process_roles_is_refused(installation: Installation, clean_database: str) -> None:
    with psycopg.connect(clean_database, autocommit=True) as connection:
        create_login(connection, "nobodys")
        try:
            several = installation.launch("api,relay", DB_USER="nobodys")
            assert several.wait() == 1
        finally:
            connection.execute("drop role nobodys")

    assert 'grant gofleet_api, gofleet_relay to "nobodys"' in several.log.read_text().splitlines()[-1]


def test_a_database_without_grants_has_an_error_of_its_own(installation: Installation, clean_database: str) -> None:
    with psycopg.connect(clean_database, autocommit=True) as connection:
        connection.execute("revoke all on all tables in schema public from gofleet_api")

    api = installation.launch("api")

    assert api.wait() == 1
    what, why, _ = api.log.read_text().splitlines()[-3:]
    assert what == "error: the PostgreSQL login lacks privileges"
    assert why == "  why: permission denied for table order_log"
