"""What is committed under config/ is what the objectives say, and Prometheus itself agrees with it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gofleet.domain.indicators import OBJECTIVES
from tests.observability.burning import RUNBOOKS, burning
from tests.observability.crises import CRISES
from tests.observability.files import FILES, SLO_RULES, SLO_TESTS, SYMPTOM_RULES, SYMPTOM_TESTS, alerts_of
from tests.observability.objectives import PROMETHEUS, ROOT, objectives, period_days
from tests.observability.symptoms import SYMPTOMS, symptoms
from tests.observability.tools import said_by

ALERTS = {**alerts_of(burning(objectives(), period_days())), **alerts_of(symptoms())}
RUNBOOK = (ROOT / RUNBOOKS).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_committed_is_what_just_rules_writes(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == FILES[path](), "run `just rules`"


def test_the_objectives_are_those_of_the_domain() -> None:
    promised = [(one.name, one.target, one.about) for one in OBJECTIVES]

    assert [(slo.name, slo.target, slo.about) for slo in objectives()] == promised


def test_prometheus_takes_its_configuration() -> None:
    code, said = said_by("promtool", "check", "config", PROMETHEUS / "prometheus.yml")

    assert code == 0, said
    assert "2 rule files found" in said
    assert all(f"Checking {rules}\n  SUCCESS" in said for rules in (SLO_RULES, SYMPTOM_RULES)), said


def test_alertmanager_takes_its_configuration() -> None:
    code, said = said_by("amtool", "check-config", PROMETHEUS / "alertmanager.yml")

    assert code == 0, said


@pytest.mark.parametrize("path", [*SLO_TESTS.values(), SYMPTOM_TESTS], ids=lambda path: path.stem)
def test_alerts_fire_and_stay_silent_in_invented_histories(path: Path) -> None:
    code, said = said_by("promtool", "test", "rules", path)

    assert code == 0, said


def test_every_symptom_is_tried_out_firing_and_silent() -> None:
    assert {one.alert for one in CRISES if one.fires} == {one.name for one in SYMPTOMS}
    assert {one.alert for one in CRISES if one.silent} == {one.name for one in SYMPTOMS}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_leads_to_what_to_do(name: str) -> None:
    alert = ALERTS[name]
    path, anchor = alert["annotations"]["runbook_url"].split("#")
    sections = {heading.replace(" ", "-"): text for heading, text in _sections().items()}

    assert (ROOT / path).is_file()
    for word in ("**Means:**", "**Look:**", "**Do:**"):
        assert word in sections[anchor], f"{anchor} lacks {word}"
    assert alert["labels"]["severity"] in {"page", "ticket"}


def test_every_section_belongs_to_an_alert() -> None:
    anchors = {alert["annotations"]["runbook_url"].split("#")[1] for alert in ALERTS.values()}

    assert {heading.replace(" ", "-") for heading in _sections()} == anchors
    assert set(re.findall(r"\]\(#([\w-]+)\)", RUNBOOK)) <= anchors


def _sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", RUNBOOK, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _commands() -> list[str]:
    """Every call of gofleet that the runbooks tell to make, without repetitions."""
    found = re.findall(r"(?:^|`)gofleet ((?!\.\.\.)[^`\n]+)", RUNBOOK, flags=re.M)
    return sorted({words.strip() for words in found})


@pytest.mark.parametrize("words", _commands())
def test_a_command_of_the_runbooks_exists(words: str) -> None:
    command = re.match(r"[a-z]+(?: [a-z]+)?(?= |$)", words)
    assert command is not None
    asked = [*command.group().split(), "--help"]
    told = subprocess.run([sys.executable, "-m", "gofleet", *asked], capture_output=True, text=True, check=True).stdout

    assert f"Usage: gofleet {command.group()}" in told
    for option in re.findall(r"--[\w-]+", words):
        assert option in told, f"gofleet {command.group()} has no {option}"
