"""The `gofleet doctor` command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gofleet.embedded.resources import free_ports
from tests.cli.program import gofleet, line_labels
from tests.verification.conftest import environment

__all__ = ["environment"]


@pytest.fixture
def machine(environment: dict[str, str]) -> dict[str, str]:
    """Settings of an installation on free ports."""
    web, grpc, metrics = map(str, free_ports(3))
    return {**environment, "WEB_SERVER_PORT": web, "GRPC_PORT": grpc, "METRICS_PORT": metrics, "COLUMNS": "160"}


async def test_reports_a_healthy_installation(machine: dict[str, str], tmp_path: Path) -> None:
    ended = gofleet("doctor", environment=machine, cwd=tmp_path)
    output = gofleet("doctor", "--json", environment=machine, cwd=tmp_path)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == "verdict: healthy"
    assert "fix: appendonly yes" in ended.stdout
    lines = [json.loads(line) for line in output.stdout.splitlines()]
    assert all(set(line) == {"subject", "check", "state", "seen", "fix"} for line in lines)
    assert {line["state"] for line in lines} == {"ok", "warning"}
    assert len(lines) == len(ended.stdout.splitlines()) - 2 - ended.stdout.count("fix: ")


async def test_reports_failures_with_fixes(machine: dict[str, str], tmp_path: Path) -> None:
    wrong = {**machine, "DB_NAME": "postgres", "REDIS_PORT": "1"}

    ended = gofleet("doctor", environment=wrong, cwd=tmp_path)
    narrowed = gofleet("doctor", "--role", "api", "--json", environment=wrong, cwd=tmp_path)

    assert ended.returncode == narrowed.returncode == 3
    assert "fix: `gofleet migrate`" in ended.stdout
    assert "fix: start Redis" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "verdict: not healthy"
    failed = [json.loads(line) for line in narrowed.stdout.splitlines() if '"failed"' in line]
    assert [line["subject"] for line in failed] == ["PostgreSQL", "fleet"]


async def test_checks_the_api_at_url(machine: dict[str, str], tmp_path: Path) -> None:
    ended = gofleet("doctor", "--url", "http://127.0.0.1:1", environment=machine, cwd=tmp_path)

    assert ended.returncode == 3
    assert "http://127.0.0.1:1" in ended.stdout


@pytest.mark.parametrize(
    ("words", "settings"), [(["--role", "pilot"], {}), ([], {"DB_PORT": "x"}), (["--seconds", "0"], {})]
)
def test_invalid_usage_prints_three_lines(words: list[str], settings: dict[str, str], tmp_path: Path) -> None:
    ended = gofleet("doctor", *words, environment=settings, cwd=tmp_path)

    assert ended.returncode == 2
    assert line_labels(ended.stderr) == ["error", "why", "fix"]
