"""The exact privileges of each process role in the database."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.errors import InsufficientPrivilege

from gofleet.adapters.postgres.diagnostics import NotGranted, check_privileges, group_of
from gofleet.adapters.postgres.pool import acquire, create_pool
from gofleet.domain.errors import Unavailable
from gofleet.roles import ORDER
from tests.databases import create_login, login_of

ACTS = ("select", "insert", "update", "delete", "truncate")
MAY: dict[str, dict[str, set[str]]] = {
    "schema_migrations": {role: {"select"} for role in ORDER},
    "orders": {
        "api": {"select", "insert", "update"},
        "relay": {"select", "update"},
        "worker": {"select", "update"},
        "fleet": {"select"},
    },
    "order_exclusions": {
        "api": {"insert"},
        "relay": {"select", "delete"},
        "worker": {"select"},
    },
    "order_log": {"api": {"select", "insert"}, "relay": {"select", "insert"}, "worker": {"insert"}},
    "outbox": {
        "api": {"select", "insert", "update"},
        "relay": {"select", "insert", "update", "delete"},
        "worker": {"insert"},
    },
    "inbox": {"relay": {"select", "delete"}, "worker": {"select", "insert"}},
    "parked": {
        "api": {"select", "update"},
        "relay": {"select", "update", "delete"},
        "worker": {"insert"},
        "fleet": {"insert"},
    },
    "drivers": {
        "api": {"select", "insert", "update"},
        "relay": {"select"},
        "worker": {"select"},
        "fleet": {"select"},
    },
    "request_counts": {"api": {"select", "insert", "delete"}},
    "deadlines": {"relay": {"select", "update"}},
}
"""Privileges by table and role, on some columns at least. A table missing here fails the test."""
PAGE = (Path(__file__).resolve().parents[2] / "config" / "README.md").read_text(encoding="utf-8")
SHOWN = ("api", "relay", "worker", "fleet")
every_role = pytest.mark.parametrize("role", ORDER)


@pytest.fixture
def as_owner(clean_database: str) -> Generator[psycopg.Connection]:
    with psycopg.connect(clean_database, autocommit=True) as connection:
        yield connection


@contextmanager
def as_process(database: str, role: str) -> Generator[psycopg.Connection]:
    with psycopg.connect(make_conninfo(database, user=login_of(role)), autocommit=True) as connection:
        yield connection


def scalar(connection: psycopg.Connection, query: str, *values: object) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    assert row is not None
    return row[0]


@every_role
def test_privileges_equal_the_table(as_owner: psycopg.Connection, role: str) -> None:
    tables = as_owner.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
    found = {table: {act for act in ACTS if may(as_owner, role, act, table)} for (table,) in tables}

    assert found == {table: of.get(role, set[str]()) for table, of in MAY.items()}


def test_the_documented_privileges_are_exact() -> None:
    shown = dict[str, dict[str, set[str]]]()
    for line in re.findall(r"^\| `(\w+` \|(?: (?:(?:select|insert|update|delete)(?:, )?)* ?\|){4})$", PAGE, re.M):
        table, *cells = (cell.strip(" `") for cell in line.rstrip("|").split("|"))
        shown[table] = {role: set(cell.split(", ")) for role, cell in zip(SHOWN, cells, strict=True) if cell}

    assert f"| table | {' | '.join(map(group_of, SHOWN))} |" in PAGE
    assert shown == MAY


def may(connection: psycopg.Connection, role: str, act: str, table: str) -> bool:
    """Whether the role has the privilege on some columns at least."""
    kind = "table" if act in {"delete", "truncate"} else "any_column"
    return scalar(connection, f"select has_{kind}_privilege(%s, %s, %s)", login_of(role), table, act)


@every_role
def test_no_role_may_create_objects(as_owner: psycopg.Connection, role: str) -> None:
    for name in (login_of(role), group_of(role)):
        assert not scalar(as_owner, "select has_schema_privilege(%s, 'public', 'create')", name)
        assert not scalar(as_owner, "select has_database_privilege(%s, current_database(), 'create')", name)
        assert not scalar(as_owner, "select has_function_privilege(%s, 'grant_to_process_roles()', 'execute')", name)
        power = "select rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls from pg_roles"
        assert not scalar(as_owner, f"{power} where rolname = %s", name)
    assert not scalar(as_owner, "select rolcanlogin from pg_roles where rolname = %s", group_of(role))
    assert scalar(as_owner, "select count(*) from pg_class where pg_get_userbyid(relowner) like 'gofleet\\_%%'") == 0


REFUSED_TO_ALL = (
    "drop table orders",
    "truncate outbox",
    "create table mine (id integer)",
    "alter table orders disable trigger all",
    "create trigger mine before insert on orders for each row execute function refuse_change()",
    "update order_log set became = 'DELIVERED'",
    "delete from order_log",
    "delete from orders",
    "update orders set price = 1",
    "update orders set customer_id = 'ana'",
    "insert into order_log (order_id, became, version, at) values ('o', 'PENDING', 1, '2000-01-01')",
    "update outbox set payload = '{}'",
    "update order_exclusions set until = now()",
    "delete from schema_migrations",
    "select grant_to_process_roles()",
)
REFUSED = {
    "api": (
        "select from inbox",
        "insert into inbox (consumer, event_id, outcome) values ('dispatch', gen_random_uuid(), 'done')",
        "select payload from outbox",
        "update outbox set published_at = now()",
        "delete from outbox",
        "delete from order_exclusions",
        "delete from parked",
        "delete from drivers",
        "insert into orders (id, price, tax, final_price, status, driver_id) values ('o', 1, 0, 1, 'DELIVERED', 'ana')",
    ),
    "relay": (
        "insert into orders (id, price, tax, final_price) values ('o', 1, 0, 1)",
        "select outcome from inbox",
        "insert into inbox (consumer, event_id, outcome) values ('dispatch', gen_random_uuid(), 'done')",
        "select name from drivers",
        "select from request_counts",
    ),
    "worker": (
        "delete from outbox",
        "select from outbox",
        "update outbox set published_at = now()",
        "delete from inbox",
        "insert into orders (id, price, tax, final_price) values ('o', 1, 0, 1)",
        "select from order_log",
        "select from parked",
        "select name from drivers",
    ),
    "fleet": (
        "update orders set status = 'CANCELLED'",
        "select created_at from drivers",
        "select from outbox",
        "insert into drivers (id, name) values ('ana', 'Ana')",
        "update drivers set on_duty = false",
        "select from parked",
        "select from order_log",
    ),
}


@every_role
def test_other_statements_are_refused(clean_database: str, role: str) -> None:
    with as_process(clean_database, role) as connection:
        for statement in (*REFUSED_TO_ALL, *REFUSED[role]):
            with pytest.raises(InsufficientPrivilege):
                connection.execute(statement.encode())


@every_role
def test_the_start_reports_every_missing_privilege(
    clean_database: str, as_owner: psycopg.Connection, role: str
) -> None:
    login = f"unprivileged_{uuid4().hex[:8]}"
    create_login(as_owner, login)
    try:
        unprivileged = make_conninfo(clean_database, user=login)
        with pytest.raises(NotGranted, match=r"may not .*select on schema_migrations") as refused:
            check_privileges(unprivileged, [role])
        as_owner.execute(refused.value.fix.encode())
        check_privileges(unprivileged, [role])
        other = next(each for each in ORDER if each != role)
        with pytest.raises(NotGranted) as half:
            check_privileges(unprivileged, [role, other])
        assert half.value.fix == f'grant gofleet_{other} to "{login}"'
    finally:
        as_owner.execute(sql.SQL("drop role {}").format(sql.Identifier(login)))


@every_role
def test_the_owner_and_the_roles_login_have_all_privileges(clean_database: str, role: str) -> None:
    check_privileges(clean_database, ORDER)
    check_privileges(make_conninfo(clean_database, user=login_of(role)), [role])


def test_privileges_of_public_on_the_schema_are_revoked(as_owner: psycopg.Connection) -> None:
    as_owner.execute("grant create on schema public to public")
    assert scalar(as_owner, "select has_schema_privilege('gofleet_api', 'public', 'create')")

    as_owner.execute("select grant_to_process_roles()")

    assert not scalar(as_owner, "select has_schema_privilege('gofleet_api', 'public', 'create')")


async def test_a_privilege_revoked_at_run_time_is_an_outage(clean_database: str) -> None:
    """So that messages wait, and requests are answered with 503 instead of 500."""
    async with create_pool(make_conninfo(clean_database, user=login_of("worker")), size=1, wait_seconds=5) as pool:
        with pytest.raises(Unavailable, match="InsufficientPrivilege"):
            async with acquire(pool) as connection:
                await connection.execute("delete from outbox")
        async with acquire(pool) as connection:
            await connection.execute("select id from orders")
