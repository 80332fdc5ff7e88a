"""`gofleet verify`: its table, its JSON and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.program import gofleet, line_labels
from tests.verification.conftest import environment, world
from tests.verification.world import VerifiedInstallation

__all__ = ["environment", "world"]


async def test_a_healthy_installation(world: VerifiedInstallation, environment: dict[str, str], tmp_path: Path) -> None:
    ledger, tap = world.write("ledger", world.ledger), world.write("tap", world.tap)

    ended = gofleet("verify", "--ledger", str(ledger), "--tap", str(tap), environment=environment, cwd=tmp_path)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count(" holds ") == 19
    assert ended.stdout.splitlines()[-1] == "verdict: holds"


async def test_invariants_without_a_ledger_or_tap_are_not_checked(
    world: VerifiedInstallation, environment: dict[str, str], tmp_path: Path
) -> None:
    ended = gofleet("verify", environment=environment, cwd=tmp_path)

    assert ended.returncode == 0
    assert ended.stdout.count(" not checked ") == 6
    assert "needs a ledger" in ended.stdout


async def test_a_violation_names_the_offenders(
    world: VerifiedInstallation, environment: dict[str, str], tmp_path: Path
) -> None:
    world.execute(
        "insert into parked (queue, body, headers, reason, attempts)"
        " select 'nowhere', '', '{}', 'poison', 1 from generate_series(1, 23)"
    )

    table = gofleet("verify", environment={**environment, "COLUMNS": "200"}, cwd=tmp_path)
    as_json = gofleet("verify", "--json", environment=environment, cwd=tmp_path)

    assert table.returncode == as_json.returncode == 1
    assert " VIOLATED " in table.stdout
    assert "20: is parked from nowhere" in table.stdout
    assert "... and 3 more" in table.stdout
    report = json.loads(as_json.stdout)
    (violated,) = [each for each in report["invariants"] if each["verdict"] == "violated"]
    assert (report["verdict"], violated["id"], violated["total"]) == ("violated", "I13", 23)
    assert violated["offenders"][0] == {
        "subject": "1",
        "why": "is parked from nowhere, which is no queue of ours: poison",
    }
    assert len(violated["offenders"]) == 20


@pytest.mark.parametrize("output", [[], ["--json"]])
async def test_untrusted_text_is_printed_without_control_characters_or_markup(
    world: VerifiedInstallation, environment: dict[str, str], tmp_path: Path, output: list[str]
) -> None:
    world.execute(
        "insert into parked (queue, body, headers, reason, attempts)"
        " values (chr(27) || ']0;title' || chr(7) || chr(155) || '31m[red]' || chr(8238), '', '{}', 'poison', 1)"
    )

    ended = gofleet("verify", *output, environment={**environment, "COLUMNS": "200"}, cwd=tmp_path)

    assert ended.returncode == 1
    assert "title" in ended.stdout
    assert "31m[red]" in ended.stdout
    assert ended.stdout.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("away", "unknown"),
    [
        ({"DB_PORT": "1"}, {"I2", "I3", "I4", "I5", "I6", "I7", "I12", "I13", "I14", "I16", "I18", "I19"}),
        ({"DB_NAME": "postgres"}, {"I2", "I3", "I4", "I5", "I6", "I7", "I12", "I13", "I14", "I16", "I18", "I19"}),
        ({"REDIS_PORT": "1"}, {"I14", "I17", "I19"}),
        ({"BROKER": "rabbitmq", "AMQP_PORT": "1", "RABBITMQ_HOST": "127.0.0.1"}, {"I17"}),
    ],
)
async def test_an_unavailable_server_is_unknown(
    world: VerifiedInstallation, environment: dict[str, str], tmp_path: Path, away: dict[str, str], unknown: set[str]
) -> None:
    ended = gofleet("verify", "--json", environment={**environment, **away}, cwd=tmp_path)

    report = json.loads(ended.stdout)
    assert ended.returncode == 3
    assert {each["id"] for each in report["invariants"] if each["verdict"] == "unknown"} == unknown
    assert line_labels(ended.stderr)[:3] == ["error", "why", "fix"]


async def test_a_violation_takes_precedence_over_an_unavailable_server(
    world: VerifiedInstallation, environment: dict[str, str], tmp_path: Path
) -> None:
    world.execute("update outbox set published_at = null, failed_at = now() where seq = 3")

    ended = gofleet("verify", environment={**environment, "REDIS_PORT": "1"}, cwd=tmp_path)

    assert ended.returncode == 1
    assert "redis is unavailable" in ended.stderr


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"at": "now", "act": "create", "order_', "line 2: Input data was truncated"),
        ('{"at": "now", "act": "steal", "order_id": "o-1"}', "line 2: Invalid enum value 'steal'"),
        ('{"at": "now", "act": "create"}', "line 2: Object missing required field `order_id`"),
        ('{"at": "\xff"}', "line 2: "),
    ],
)
async def test_an_invalid_ledger_is_reported_with_its_line(
    world: VerifiedInstallation, environment: dict[str, str], tmp_path: Path, line: str, why: str
) -> None:
    ledger = world.write("ledger", world.ledger[:1])
    with ledger.open("ab") as file:
        file.write(line.encode("latin-1"))

    ended = gofleet("verify", "--ledger", str(ledger), environment=environment, cwd=tmp_path)

    assert ended.returncode == 3
    assert line_labels(ended.stderr) == ["error", "why", "fix"]
    assert f"{ledger}, {why}" in ended.stderr
    assert ended.stdout.count(" unknown ") == 4
    assert ended.stdout.count(" holds ") == 13  # the others are checked


async def test_a_missing_ledger(world: VerifiedInstallation, environment: dict[str, str], tmp_path: Path) -> None:
    ended = gofleet("verify", "--ledger", "nowhere.jsonl", environment=environment, cwd=tmp_path)

    assert ended.returncode == 3
    assert "nowhere.jsonl: No such file or directory" in ended.stderr
