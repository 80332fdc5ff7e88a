"""`gofleet doctor` as a person or a pipeline would call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gofleet.embedded.resources import free_ports
from tests.cli.typed import gofleet, three_lines
from tests.verification.conftest import environment

__all__ = ["environment"]


@pytest.fixture
def machine(environment: dict[str, str]) -> dict[str, str]:
    """The settings of an installation on ports that nobody has."""
    web, grpc, metrics = map(str, free_ports(3))
    return {**environment, "WEB_SERVER_PORT": web, "GRPC_PORT": grpc, "METRICS_PORT": metrics, "COLUMNS": "160"}


async def test_an_installation_that_may_be_started(machine: dict[str, str], tmp_path: Path) -> None:
    ended = gofleet("doctor", environment=machine, at=tmp_path)
    said = gofleet("doctor", "--json", environment=machine, at=tmp_path)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == "verdict: healthy"
    assert "fix: appendonly yes" in ended.stdout
    lines = [json.loads(line) for line in said.stdout.splitlines()]
    assert all(set(line) == {"subject", "check", "state", "seen", "fix"} for line in lines)
    assert {line["state"] for line in lines} == {"ok", "warning"}
    assert len(lines) == len(ended.stdout.splitlines()) - 2 - ended.stdout.count("fix: ")


async def test_what_is_wrong_comes_with_what_to_do(machine: dict[str, str], tmp_path: Path) -> None:
    wrong = {**machine, "DB_NAME": "postgres", "REDIS_PORT": "1"}

    ended = gofleet("doctor", environment=wrong, at=tmp_path)
    narrowed = gofleet("doctor", "--role", "api", "--json", environment=wrong, at=tmp_path)

    assert ended.returncode == narrowed.returncode == 3
    assert "fix: `gofleet migrate`" in ended.stdout
    assert "fix: start Redis" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "verdict: not healthy"
    failed = [json.loads(line) for line in narrowed.stdout.splitlines() if '"failed"' in line]
    assert [line["subject"] for line in failed] == ["PostgreSQL", "fleet"]


async def test_an_api_is_looked_at_when_it_is_named(machine: dict[str, str], tmp_path: Path) -> None:
    ended = gofleet("doctor", "--url", "http://127.0.0.1:1", environment=machine, at=tmp_path)

    assert ended.returncode == 3
    assert "http://127.0.0.1:1" in ended.stdout


@pytest.mark.parametrize(
    ("words", "settings"), [(["--role", "pilot"], {}), ([], {"DB_PORT": "x"}), (["--seconds", "0"], {})]
)
def test_a_wrong_call_is_told_in_three_lines(words: list[str], settings: dict[str, str], tmp_path: Path) -> None:
    ended = gofleet("doctor", *words, environment=settings, at=tmp_path)

    assert ended.returncode == 2
    assert three_lines(ended.stderr) == ["error", "why", "fix"]
