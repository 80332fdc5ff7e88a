"""Everything that `just rules` writes, by the path it has in the repository."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.observability.burning import BURNS, Burn, alert_name, burning
from tests.observability.crises import tests_of_symptoms
from tests.observability.dashboards import DASHBOARDS
from tests.observability.histories import STEPS, tests_of
from tests.observability.objectives import GRAFANA, PROMETHEUS, objectives, period_days
from tests.observability.symptoms import symptoms

NOTE = "# Written by `just rules` from config/prometheus/slo.yaml and tests/observability: change those.\n"
SLO_RULES, SYMPTOM_RULES = PROMETHEUS / "rules/slo.yml", PROMETHEUS / "rules/symptoms.yml"
SLO_TESTS = {burn: PROMETHEUS / f"tests/slo-{burn.long}.yml" for burn in BURNS}
SYMPTOM_TESTS = PROMETHEUS / "tests/symptoms.yml"


def as_yaml(said: Any) -> str:
    return NOTE + yaml.dump(said, Dumper=_Plain, sort_keys=False, width=100_000, allow_unicode=True)


class _Plain(yaml.SafeDumper):
    """Without anchors: whoever reads a rule should find all of it there."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def alerts_of(rules: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Its alerts by name."""
    return {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule}


def slo_rules() -> str:
    return as_yaml(burning(objectives(), period_days()))


def symptom_rules() -> str:
    return as_yaml(symptoms())


def slo_tests(burn: Burn) -> str:
    """Of the alerts over one pair of windows."""
    alerts, step = alerts_of(burning(objectives(), period_days())), f"{STEPS[BURNS.index(burn)]}s"
    silent = [
        {"eval_time": "30m", "alertname": alert_name(slo, burn), "exp_alerts": list[Any]()} for slo in objectives()
    ]
    nothing = {"name": "nothing known", "interval": step, "input_series": list[Any](), "alert_rule_test": silent}
    tests = [test for slo in objectives() for test in tests_of(slo, burn, alerts)]
    return as_yaml({"rule_files": ["../rules/slo.yml"], "evaluation_interval": step, "tests": [*tests, nothing]})


def symptom_tests() -> str:
    tests = tests_of_symptoms(alerts_of(symptoms()))
    return as_yaml({"rule_files": ["../rules/symptoms.yml"], "evaluation_interval": "1m", "tests": tests})


def dashboard_file(name: str) -> str:
    return json.dumps(DASHBOARDS[name](), indent=2, ensure_ascii=False) + "\n"


FILES: dict[Path, Callable[[], str]] = {
    SLO_RULES: slo_rules,
    SYMPTOM_RULES: symptom_rules,
    **{path: partial(slo_tests, burn) for burn, path in SLO_TESTS.items()},
    SYMPTOM_TESTS: symptom_tests,
    **{GRAFANA / f"dashboards/{name}.json": partial(dashboard_file, name) for name in DASHBOARDS},
}
