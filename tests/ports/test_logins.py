"""Creation of the process roles and their logins in a cluster: by migrations and by the script of compose.yaml."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from gofleet.adapters.postgres.diagnostics import check_privileges, group_of
from gofleet.adapters.postgres.migrate import apply_migrations, load_migrations
from gofleet.embedded import Postgres, running
from gofleet.roles import ORDER
from tests.databases import conninfo_of, create_login, login_of, make_logins
from tests.servers import postgres_programs

SCRIPT = Path(__file__).resolve().parents[2] / "config" / "postgres" / "logins.sql"


@pytest.fixture
def fresh_server() -> Generator[Postgres]:
    """A cluster without the process roles."""
    server = Postgres(durable=False, bin_dir=postgres_programs())
    with running(server):
        yield server


def administer(server: Postgres, *statements: str) -> None:
    with psycopg.connect(conninfo_of(server, "postgres"), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def groups(server: Postgres) -> list[str]:
    with psycopg.connect(conninfo_of(server, "postgres")) as connection:
        return [
            name
            for (name,) in connection.execute("select rolname from pg_roles where rolname ~ '^gofleet_' order by 1")
        ]


def test_databases_of_one_cluster_that_are_migrated_at_once_share_the_roles(fresh_server: Postgres) -> None:
    names = [f"at_once_{number}" for number in range(6)]
    administer(fresh_server, *(f"create database {name}" for name in names))
    databases = [conninfo_of(fresh_server, name) for name in names]

    with ThreadPoolExecutor(len(names)) as threads:
        counts = list(threads.map(apply_migrations, databases))

    assert counts == [len(load_migrations())] * len(names)
    assert groups(fresh_server) == sorted(map(group_of, ORDER))
    make_logins(databases[0])
    for database in databases:
        for role in ORDER:
            check_privileges(make_conninfo(database, user=login_of(role)), [role])


def test_a_user_that_cannot_create_roles_migrates_and_gets_the_remaining_steps(fresh_server: Postgres) -> None:
    with psycopg.connect(conninfo_of(fresh_server, "postgres"), autocommit=True) as connection:
        create_login(connection, "migrator")
    administer(fresh_server, "create database theirs owner migrator")
    at, database = fresh_server.address, make_conninfo(conninfo_of(fresh_server, "theirs"), user="migrator")
    given = {"DB_HOST": at.host, "DB_PORT": str(at.port), "DB_USER": "migrator", "DB_NAME": "theirs"}
    given["DB_PASSWORD"] = at.password

    migrated = subprocess.run(
        [sys.executable, "-m", "gofleet", "migrate"],
        env={**os.environ, **given},
        check=False,
        capture_output=True,
        text=True,
    )

    assert migrated.returncode == 0, migrated.stderr
    assert "applied 0012_privileges" in migrated.stdout
    assert [line[:61] for line in migrated.stderr.splitlines()] == [
        f"warning: migrator may not create the role {group_of(role)}: have an administrator"[:61]
        for role in ("api", "relay", "worker", "fleet")
    ]
    assert groups(fresh_server) == []

    administer(fresh_server, *(f"create role {group_of(role)}" for role in ORDER))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("select grant_to_process_roles()")
    make_logins(conninfo_of(fresh_server, "theirs"))

    for role in ORDER:
        check_privileges(make_conninfo(database, user=login_of(role)), [role])
        assert not may_create_temporary_tables(make_conninfo(database, user=login_of(role)))


def may_create_temporary_tables(conninfo: str) -> bool:
    with psycopg.connect(conninfo) as connection:
        try:
            connection.execute("create temporary table large (bytes bytea)")
        except psycopg.errors.InsufficientPrivilege:
            return False
    return True


def test_temporary_tables_of_a_database_that_the_migrator_does_not_own(fresh_server: Postgres) -> None:
    """The migrations succeed without the right to revoke that one, and an administrator's script revokes it."""
    with psycopg.connect(conninfo_of(fresh_server, "postgres"), autocommit=True) as connection:
        create_login(connection, "migrator")
    database = conninfo_of(fresh_server, "gofleet")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("grant create on schema public to migrator")
    administer(fresh_server, "alter role migrator createrole")
    apply_migrations(make_conninfo(database, user="migrator"))
    passwords = {role: f"of-{role}" for role in ORDER}
    make_logins(database)
    assert may_create_temporary_tables(make_conninfo(database, user=login_of("worker")))

    run_script(fresh_server, passwords)

    for role in ORDER:
        assert not may_create_temporary_tables(make_conninfo(database, user=role, password=passwords[role]))


def run_script(server: Postgres, passwords: dict[str, str]) -> None:
    """Run the script as PostgreSQL's image does."""
    at = server.address
    subprocess.run(
        [postgres_programs() / "psql", "-v", "ON_ERROR_STOP=1", "--no-psqlrc", "--no-password", "-q", "-f", SCRIPT],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
            **{"PGHOST": at.host, "PGPORT": str(at.port), "PGUSER": at.user, "PGDATABASE": at.database},
            "PGPASSWORD": at.password,
            **{f"DB_{role.upper()}_PASSWORD": password for role, password in passwords.items()},
        },
        check=True,
        timeout=60,
    )


def enters(server: Postgres, user: str, password: str) -> bool:
    try:
        psycopg.connect(make_conninfo(conninfo_of(server, "gofleet"), user=user, password=password)).close()
    except psycopg.OperationalError:
        return False
    return True


def test_the_script_of_compose_creates_logins_with_any_password(fresh_server: Postgres) -> None:
    odd = {role: f'{role}\'s "own" \\ $1 ; drop role {role}' for role in ORDER}
    run_script(fresh_server, odd)
    database = conninfo_of(fresh_server, "gofleet")
    assert not enters(fresh_server, "api", "wrong")
    apply_migrations(database)

    for role in ORDER:
        assert enters(fresh_server, role, odd[role])
        check_privileges(make_conninfo(database, user=role, password=odd[role]), [role])

    new = {role: f"new-{role}" for role in ORDER}
    run_script(fresh_server, new)  # manually, after a password changed
    assert all(enters(fresh_server, role, new[role]) and not enters(fresh_server, role, odd[role]) for role in ORDER)


def test_the_script_works_on_an_existing_database(fresh_server: Postgres) -> None:
    database = conninfo_of(fresh_server, "gofleet")
    apply_migrations(database)

    run_script(fresh_server, {role: role for role in ORDER})

    for role in ORDER:
        check_privileges(make_conninfo(database, user=role, password=role), [role])
