"""A real Prometheus server that scrapes a running installation."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from gofleet.embedded.resources import free_ports
from tests.observability.burning import burning
from tests.observability.files import as_yaml
from tests.observability.objectives import objectives, period_days
from tests.observability.symptoms import symptoms
from tests.observability.tools import tool

SCALE = 60
"""An hour of the rules is a minute here."""


@dataclass(frozen=True)
class Prometheus:
    http: httpx.Client
    popen: subprocess.Popen[bytes]
    log: Path

    def ready(self) -> bool:
        assert self.popen.poll() is None, self.log.read_text()
        try:
            return self.http.get("/-/ready").is_success
        except httpx.HTTPError:
            return False

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series; AssertionError if Prometheus refuses the query."""
        response = self.http.get("/api/v1/query", params={"query": expr}).json()
        assert response["status"] == "success", f"{expr}: {response}"
        return [(series["metric"], float(series["value"][1])) for series in response["data"]["result"]]

    def has_data(self, expr: str) -> bool:
        """Whether the query has a value other than NaN (0/0)."""
        return any(not math.isnan(value) for _, value in self.query(expr))

    def firing(self) -> set[str]:
        return {labels["alertname"] for labels, _ in self.query('ALERTS{alertstate="firing"}')}


@contextmanager
def a_prometheus(place: Path, targets: Mapping[str, int]) -> Generator[Prometheus]:
    """Scrape `targets` (role -> metrics port) every second, with the windows of the rules divided by `SCALE`."""
    rules: dict[str, Any] = {
        "slo.yml": burning(objectives(), period_days(), scale=SCALE, every="1s"),
        "symptoms.yml": symptoms(scale=SCALE, every="1s"),
    }
    for name, document in rules.items():
        (place / name).write_text(as_yaml(document), encoding="utf-8")
    static = [{"targets": [f"127.0.0.1:{port}"], "labels": {"role": role}} for role, port in targets.items()]
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": list(rules),
        "scrape_configs": [{"job_name": "gofleet", "static_configs": static}],
    }
    (place / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    port, log = free_ports(1)[0], place / "prometheus.log"
    options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
    with log.open("wb") as out, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as http:
        popen = subprocess.Popen([tool("prometheus"), *options], cwd=place, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield Prometheus(http, popen, log)
        finally:
            popen.terminate()
            popen.wait()
