"""Each grant has a statement that needs it. That the grants suffice, tests/journeys show: its processes have no others.

EXPLAIN asks for the privileges of a statement, as its execution would, and does nothing.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import NamedTuple

import psycopg
import pytest
from psycopg import sql

from gofleet.adapters.postgres.diagnostics import group_of
from gofleet.adapters.postgres.queries import Queries
from gofleet.files import shipped
from gofleet.roles import ORDER

STATEMENTS = {
    "api": "orders.add orders.change orders.get orders.save_without_receipt orders.save_many_without_receipt"
    " orders.list orders.open_of drivers.* history.* indicators.* failed.*"
    " parked.list parked.groups parked.open parked.request parked.request_all preconditions.*",
    "relay": "orders.get orders.save_without_receipt orders.save_many_without_receipt orders.overdue"
    " orders.republish_pending orders.oldest_pending orders.prune_exclusions outbox.* deadlines.evaluate"
    " failed.count inbox.prune parked.count parked.claim parked.replayed parked.refused parked.prune",
    "worker": "orders.get orders.excluded_drivers orders.save orders.save_many inbox.note inbox.outcome parked.add",
    "fleet": "orders.get orders.live drivers.list parked.add",
}
"""The statements of sql/queries that a role's adapters execute, by role."""
TRIGGERS = {"api": ("log_order_move", "exclude_driver"), "relay": ("log_order_move",), "worker": ("log_order_move",)}
"""The triggers by which a role's transitions insert rows elsewhere."""
AT_THE_START = "select name, digest from schema_migrations"
every_role = pytest.mark.parametrize("role", ORDER)


class Grant(NamedTuple):
    """A privilege of a column, or of the whole table if `column` is empty."""

    privilege: str
    table: str
    column: str

    def revoking(self, role: str) -> sql.Composed:
        column = sql.SQL("({})").format(sql.Identifier(self.column)) if self.column else sql.SQL("")
        words = sql.SQL("revoke {} {} on {} from {}")
        return words.format(
            sql.SQL(self.privilege),  # pyright: ignore[reportArgumentType]  as PostgreSQL itself calls it
            column,
            sql.Identifier(self.table),
            sql.Identifier(group_of(role)),
        )


@pytest.fixture
def connection(clean_database: str) -> Generator[psycopg.Connection]:
    with psycopg.connect(clean_database, autocommit=True) as opened:
        yield opened


def statements(connection: psycopg.Connection, role: str) -> list[str]:
    """The role's statements with null for every parameter."""
    found = [AT_THE_START]
    for word in STATEMENTS[role].split():
        file, _, name = word.partition(".")
        queries = Queries(file).statements
        found += queries.values() if name == "*" else [queries[name]]
    for trigger in TRIGGERS.get(role, ()):
        row = connection.execute("select prosrc from pg_proc where proname = %s", (trigger,)).fetchone()
        assert row is not None
        for target, columns in re.findall(r"insert into (\w+) \(([^)]*)\)", row[0]):
            found.append(f"insert into {target} ({columns}) values ({', '.join('null' for _ in columns.split(','))})")
    return [re.sub(r"%\(\w+\)s", "null", statement).replace("%%", "%") for statement in found]


def grants(connection: psycopg.Connection, role: str) -> list[Grant]:
    whole = "select privilege_type, relname, '' from pg_class, aclexplode(relacl)"
    columns = "select privilege_type, attrelid::regclass::text, attname from pg_attribute, aclexplode(attacl)"
    theirs = "where grantee = %(group)s::regrole"
    found = connection.execute(f"{whole} {theirs} union all {columns} {theirs}".encode(), {"group": group_of(role)})
    return [Grant(*row) for row in found.fetchall()]


def refused(connection: psycopg.Connection, role: str, executed: list[str]) -> list[str]:
    """The statements for which the role lacks a privilege."""
    found: list[str] = []
    for statement in executed:
        try:
            with connection.transaction(force_rollback=True):
                connection.execute(sql.SQL("set local role {}").format(sql.Identifier(group_of(role))))
                connection.execute(f"explain {statement}".encode())
        except psycopg.errors.InsufficientPrivilege:
            found.append(statement)
    return found


def test_every_statement_belongs_to_a_role() -> None:
    """Except the statements of `gofleet verify`, of `gofleet doctor` and of the check of privileges."""
    files = {path.stem for path in (shipped("sql") / "queries").glob("*.sql")} - {"doctor", "privileges", "verify"}
    known = {f"{file}.{name}" for file in files for name in Queries(file).statements}
    words = {word for listed in STATEMENTS.values() for word in listed.split()}
    whole = {each for each in known if f"{each.partition('.')[0]}.*" in words}

    assert known == whole | {word for word in words if not word.endswith("*")}


@every_role
def test_the_grants_suffice_for_the_statements(connection: psycopg.Connection, role: str) -> None:
    assert refused(connection, role, statements(connection, role)) == []


@every_role
def test_without_any_one_grant_a_statement_is_refused(connection: psycopg.Connection, role: str) -> None:
    executed, idle = statements(connection, role), list[Grant]()
    assert len(grants(connection, role)) > 10
    for grant in grants(connection, role):
        with connection.transaction(force_rollback=True):
            connection.execute(grant.revoking(role))
            if not refused(connection, role, executed):
                idle.append(grant)

    assert idle == []


def test_granting_again_restores_the_exact_privileges(connection: psycopg.Connection) -> None:
    before = {role: sorted(grants(connection, role)) for role in ORDER}
    connection.execute("grant delete, select, update (outcome) on inbox to gofleet_api")
    connection.execute("revoke insert (id) on orders from gofleet_api")

    connection.execute("select grant_to_process_roles()")

    assert {role: sorted(grants(connection, role)) for role in ORDER} == before
