"""The committed rules and dashboards equal the generated ones, and pass Prometheus's own checks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gofleet.domain.indicators import OBJECTIVES
from tests.observability.burning import RUNBOOKS, burning
from tests.observability.files import FILES, SLO_RULES, SLO_TESTS, SYMPTOM_RULES, SYMPTOM_TESTS, alerts_of
from tests.observability.incidents import INCIDENTS
from tests.observability.objectives import PROMETHEUS, ROOT, objectives, period_days
from tests.observability.symptoms import SYMPTOMS, symptoms
from tests.observability.tools import output_of

ALERTS = {**alerts_of(burning(objectives(), period_days())), **alerts_of(symptoms())}
RUNBOOK = (ROOT / RUNBOOKS).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_committed_files_equal_the_generated_ones(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == FILES[path](), "run `just rules`"


def test_objectives_equal_those_of_the_domain() -> None:
    expected = [(each.name, each.target, each.about) for each in OBJECTIVES]

    assert [(slo.name, slo.target, slo.about) for slo in objectives()] == expected


def test_promtool_accepts_the_configuration() -> None:
    code, output = output_of("promtool", "check", "config", PROMETHEUS / "prometheus.yml")

    assert code == 0, output
    assert "2 rule files found" in output
    assert all(f"Checking {rules}\n  SUCCESS" in output for rules in (SLO_RULES, SYMPTOM_RULES)), output


def test_amtool_accepts_the_configuration() -> None:
    code, output = output_of("amtool", "check-config", PROMETHEUS / "alertmanager.yml")

    assert code == 0, output


@pytest.mark.parametrize("path", [*SLO_TESTS.values(), SYMPTOM_TESTS], ids=lambda path: path.stem)
def test_alerts_fire_and_stay_silent_in_synthetic_histories(path: Path) -> None:
    code, output = output_of("promtool", "test", "rules", path)

    assert code == 0, output


def test_every_symptom_has_firing_and_silent_incidents() -> None:
    assert {incident.alert for incident in INCIDENTS if incident.fires} == {symptom.name for symptom in SYMPTOMS}
    assert {incident.alert for incident in INCIDENTS if incident.silent} == {symptom.name for symptom in SYMPTOMS}


@pytest.mark.parametrize("name", ALERTS)
def test_alerts_link_to_a_complete_runbook(name: str) -> None:
    alert = ALERTS[name]
    path, anchor = alert["annotations"]["runbook_url"].split("#")
    sections = {heading.replace(" ", "-"): text for heading, text in _sections().items()}

    assert (ROOT / path).is_file()
    for word in ("**Meaning:**", "**Investigate:**", "**Remedy:**"):
        assert word in sections[anchor], f"{anchor} lacks {word}"
    assert alert["labels"]["severity"] in {"page", "ticket"}


def test_every_runbook_section_belongs_to_an_alert() -> None:
    anchors = {alert["annotations"]["runbook_url"].split("#")[1] for alert in ALERTS.values()}

    assert {heading.replace(" ", "-") for heading in _sections()} == anchors
    assert set(re.findall(r"\]\(#([\w-]+)\)", RUNBOOK)) <= anchors


def _sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", RUNBOOK, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _commands() -> list[str]:
    """The distinct gofleet commands in the runbooks."""
    commands = re.findall(r"(?:^|`)gofleet ((?!\.\.\.)[^`\n]+)", RUNBOOK, flags=re.M)
    return sorted({words.strip() for words in commands})


@pytest.mark.parametrize("words", _commands())
def test_commands_of_the_runbooks_exist(words: str) -> None:
    command = re.match(r"[a-z]+(?: [a-z]+)?(?= |$)", words)
    assert command is not None
    program = [sys.executable, "-m", "gofleet", *command.group().split(), "--help"]
    usage = subprocess.run(program, capture_output=True, text=True, check=True).stdout

    assert f"Usage: gofleet {command.group()}" in usage
    for option in re.findall(r"--[\w-]+", words):
        assert option in usage, f"gofleet {command.group()} has no {option}"
