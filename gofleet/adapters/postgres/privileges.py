"""Whether the session's login may do what its roles do. Asked at the start, for a refusal amid the work would park
messages that nothing is wrong with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg import Connection
from psycopg.rows import TupleRow

from gofleet.adapters.postgres.queries import Queries

PRIVILEGES = Queries("privileges")


class NotGranted(Exception):
    """`fix` is the statement that an administrator has to say."""

    def __init__(self, login: str, lacking: str, groups: Sequence[str]) -> None:
        super().__init__(f"{login} may not {lacking}")
        self.fix = f'grant {", ".join(groups)} to "{login}"'


def group_of(role: str) -> str:
    """PostgreSQL's role with the privileges of ours; see sql/migrations/0012_privileges.sql."""
    return f"gofleet_{role}"


def privilege_query_values(roles: Iterable[str]) -> dict[str, object]:
    """The values of `privileges.lacking`."""
    return {"roles": [group_of(role) for role in roles]}


def raise_if_lacking(lacking: Sequence[TupleRow]) -> None:
    """`NotGranted` unless `privileges.lacking` found nothing."""
    if lacking:
        raise NotGranted(lacking[0][1], "; ".join(row[2] for row in lacking), [row[0] for row in lacking])


def demand_privileges(conninfo: str, roles: Iterable[str]) -> None:
    """`NotGranted` if this login may not do what `roles` do."""
    with Connection.connect(conninfo, autocommit=True) as link:
        raise_if_lacking(link.execute(PRIVILEGES.lacking, privilege_query_values(roles)).fetchall())
