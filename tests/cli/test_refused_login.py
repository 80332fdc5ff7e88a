"""A refused login of PostgreSQL is reported differently from a server that does not answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from gofleet.embedded import Postgres
from tests.cli.program import gofleet, line_labels


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"DB_PASSWORD": "wrong"}, "password authentication failed"),
        ({"DB_USER": "unknown"}, "password authentication failed"),
        ({"DB_PASSWORD": ""}, "no password supplied"),
        ({"DB_NAME": "nowhere"}, "does not exist"),
    ],
)
def test_migrate_reports_a_refused_login(
    postgres_server: Postgres, tmp_path: Path, wrong: dict[str, str], why: str
) -> None:
    at = postgres_server.address
    given = {"DB_HOST": at.host, "DB_PORT": str(at.port), "DB_USER": at.user, "DB_PASSWORD": at.password}

    ended = gofleet("migrate", environment={**given, "DB_NAME": at.database, **wrong}, cwd=tmp_path)

    assert ended.returncode == 1
    assert line_labels(ended.stderr) == ["error", "why", "fix"]
    assert "PostgreSQL refused the login" in ended.stderr
    assert why in ended.stderr
    assert next(iter(wrong)) in ended.stderr


def test_migrate_reports_a_server_that_does_not_answer(tmp_path: Path) -> None:
    ended = gofleet("migrate", environment={"DB_HOST": "127.0.0.1", "DB_PORT": "1"}, cwd=tmp_path)

    assert ended.returncode == 3
    assert "PostgreSQL is unreachable" in ended.stderr
