"""Mutation tests: rules that are wrong in one place fail promtool's tests."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.observability.files import SLO_RULES, SLO_TESTS, SYMPTOM_RULES, SYMPTOM_TESTS
from tests.observability.tools import output_of


class Mutant(NamedTuple):
    """A change of the rules of `slo` from `was` to `becomes`, which the tests of the alerts over `long` must detect."""

    title: str
    slo: str
    was: str
    becomes: str
    long: str = "1h"


MUTANTS = (
    Mutant("either window alone", "dispatch", "and gofleet:slo_errors", "or gofleet:slo_errors"),
    Mutant("no short window", "dispatch", r"and gofleet:slo_errors:ratio_rate5m\{slo=\"dispatch\"\} > 0.144 ", ""),
    Mutant("a bound too high", "dispatch", "> 0.144 and gofleet:slo_errors", "> 0.15 and gofleet:slo_errors"),
    Mutant("a bound too low", "dispatch", "> 0.144", "> 0.14"),
    Mutant("another budget", "success", "> 0.072", "> 0.144"),
    Mutant("the long window is short", "dispatch", r"\[1h\]", "[20m]"),
    Mutant("the short window is long", "dispatch", r"\[5m\]", "[30m]"),
    Mutant("no floor", "dispatch", " and gofleet:slo_events[^']* >= 20", ""),
    Mutant("a floor of one", "dispatch", ">= 20", ">= 1"),
    Mutant("no pending time", "dispatch", "for: 2m", "for: 0s"),
    Mutant("a ticket instead of a page", "dispatch", "severity: page", "severity: ticket"),
    Mutant("client errors count as failures", "ingest", r',status!~"4.."', ""),
    Mutant("another bucket than the objective's", "ingest", 'le="0.2"', 'le="0.25"'),
    Mutant("streams are requests", "availability", r"orders/stream\|", ""),
    Mutant("manual dispatch counts as success", "success", ',by="worker"', ""),
    Mutant("cancelled orders count", "success", 'outcome="manual_dispatch"', 'outcome=~"manual_dispatch|cancelled"'),
    Mutant("the long window of a ticket", "dispatch", r"\[3d\]", "[1d]", "3d"),
    Mutant("the short window of a ticket", "dispatch", r"\[2h\]", "[6h]", "1d"),
    Mutant("the second page", "dispatch", r"\[30m\]", "[5m]", "6h"),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.title)
def test_a_wrong_burn_rule_is_detected(mutant: Mutant, tmp_path: Path) -> None:
    rules = _only(yaml.safe_load(SLO_RULES.read_text(encoding="utf-8")), "groups", f"slo-{mutant.slo}")
    right = yaml.safe_dump(rules, width=100_000)
    wrong = re.sub(mutant.was, mutant.becomes, right)
    assert wrong != right, "there is nothing to mutate"
    [path] = [path for burn, path in SLO_TESTS.items() if burn.long == mutant.long]
    tests = _only(yaml.safe_load(path.read_text(encoding="utf-8")), "tests", mutant.slo.capitalize())

    assert _exit_code(tmp_path, right, tests) == 0
    assert _exit_code(tmp_path, wrong, tests) != 0


def _only(file: dict[str, Any], key: str, prefix: str) -> dict[str, Any]:
    return {**file, key: [each for each in file[key] if each["name"].startswith(prefix)]}


def _thresholds() -> list[tuple[str, Callable[[str], str]]]:
    """Mutations of each symptom: a higher bound, no pending time or a long one."""
    mutations: list[tuple[str, Callable[[str], str]]] = []
    for name, bound in re.findall(r"alert: (\w+)\n\s+expr: .*> (\d+)", SYMPTOM_RULES.read_text(encoding="utf-8")):
        mutations.append((f"{name}-bound", _replacing(name, rf"> {bound}\n", f"> {int(bound) + 30}\n")))
    for name, pending in re.findall(
        r"alert: (\w+)\n\s+expr: .*\n\s+for: (\w+)", SYMPTOM_RULES.read_text(encoding="utf-8")
    ):
        other = "3m" if pending == "0m" else "0m"
        mutations.append((f"{name}-pending", _replacing(name, rf"for: {pending}\n", f"for: {other}\n")))
    return mutations


def _replacing(name: str, was: str, becomes: str) -> Callable[[str], str]:
    return lambda text: re.sub(rf"(alert: {name}\n(?:.*\n)??.*?){was}", rf"\g<1>{becomes}", text, count=1)


@pytest.mark.parametrize(("title", "mutate"), [pytest.param(*each, id=each[0]) for each in _thresholds()])
def test_a_wrong_symptom_is_detected(title: str, mutate: Callable[[str], str], tmp_path: Path) -> None:
    right = SYMPTOM_RULES.read_text(encoding="utf-8")
    wrong = mutate(right)
    assert wrong != right, title
    tests = _only(yaml.safe_load(SYMPTOM_TESTS.read_text(encoding="utf-8")), "tests", title.split("-", maxsplit=1)[0])

    assert _exit_code(tmp_path, right, tests) == 0
    assert _exit_code(tmp_path, wrong, tests) != 0


def _exit_code(place: Path, rules: str, tests: dict[str, Any]) -> int:
    assert tests["tests"], "no test covers it"
    (place / "rules.yml").write_text(rules, encoding="utf-8")
    (place / "tests.yml").write_text(yaml.safe_dump({**tests, "rule_files": ["rules.yml"]}), encoding="utf-8")
    code, output = output_of("promtool", "test", "rules", "tests.yml", cwd=place)
    assert "error" not in output.lower() or "parse" not in output.lower(), output  # invalid rules prove nothing
    return code
