"""Commands that need no API: settings, migrations, certificates and errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from gofleet.adapters.tls import Certificates
from gofleet.embedded import Postgres
from tests.cli.program import gofleet, line_labels
from tests.cli.stub_server import StubServer


@pytest.mark.parametrize(
    ("words", "environment", "text"),
    [
        (["run", "--role", "pilot"], {}, "unknown role 'pilot'"),
        (["run", "--role", "api"], {"DB_PORT": "abc"}, "'abc' from the environment"),
        (["config"], {"BROKER": "kafka"}, "rabbitmq or redis"),
        (["demo", "--exit"], {"RETRY_TIERS_SECONDS": "x"}, "whole seconds"),
    ],
)
def test_invalid_usage_or_setting_prints_three_lines(
    words: list[str], environment: dict[str, str], text: str, tmp_path: Path
) -> None:
    ended = gofleet(*words, environment=environment, cwd=tmp_path)

    assert ended.returncode == 2
    assert line_labels(ended.stderr) == ["error", "why", "fix"]
    assert text in ended.stderr


def test_an_unreachable_database_prints_three_lines(tmp_path: Path) -> None:
    ended = gofleet("migrate", environment={"DB_HOST": "127.0.0.1", "DB_PORT": "1"}, cwd=tmp_path)

    assert ended.returncode == 3
    assert line_labels(ended.stderr) == ["error", "why", "fix"]


def test_migrate_prints_its_migrations_and_check_changes_nothing(
    postgres_server: Postgres, clean_database: str, tmp_path: Path
) -> None:
    at = postgres_server.address
    environment = {"DB_HOST": at.host, "DB_PORT": str(at.port), "DB_USER": at.user, "DB_PASSWORD": at.password}
    migrated = {**environment, "DB_NAME": str(conninfo_to_dict(clean_database)["dbname"])}
    empty = {**environment, "DB_NAME": "postgres"}

    assert gofleet("migrate", environment=migrated, cwd=tmp_path).stdout.strip() == "the schema is up to date"
    assert gofleet("migrate", "--check", environment=migrated, cwd=tmp_path).returncode == 0
    lacking = gofleet("migrate", "--check", environment=empty, cwd=tmp_path)
    assert lacking.returncode == 1
    assert lacking.stdout.splitlines()[0] == "missing 0001_orders"
    assert gofleet("migrate", "--check", environment=empty, cwd=tmp_path).returncode == 1


@pytest.mark.parametrize("words", [["config"], ["config", "show"]])
def test_config_hides_secrets_and_shows_sources(tmp_path: Path, words: list[str]) -> None:
    environment = {"DB_PASSWORD": "hunter2", "DB_HOST": "db"}
    ended = gofleet(*words, "--json", environment=environment, cwd=tmp_path)

    rows = {row["name"]: row for row in map(json.loads, ended.stdout.splitlines())}
    assert "hunter2" not in ended.stdout
    assert rows["DB_PASSWORD"]["value"] == "(hidden)"
    assert rows["DB_HOST"] == rows["DB_HOST"] | {"value": "db", "source": "the environment"}
    assert rows["REDIS_HOST"]["source"] == "config/settings.toml"
    table = gofleet(*words, environment={**environment, "COLUMNS": "200"}, cwd=tmp_path).stdout
    assert "hunter2" not in table
    assert "the environment" in table


def test_config_check_lists_every_invalid_setting(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REDIS_PORT=0\nDB_HORST=db\n")
    wrong = {"DB_PORT": "abc", "DB_PASSWORD": "hunter2", "WORKER_LEASE_SECONDS": "soon"}

    ended = gofleet("config", "check", environment=wrong, cwd=tmp_path)
    output = gofleet("config", "check", "--json", environment=wrong, cwd=tmp_path)

    assert ended.returncode == output.returncode == 2
    assert line_labels(ended.stderr) == ["error", "why", "fix"] * 4
    found = json.loads(output.stdout)
    assert found["ok"] is False
    whats = [each["what"] for each in found["wrong"]]
    assert whats == [
        "unknown setting DB_HORST",
        "DB_PORT is wrong",
        "REDIS_PORT is wrong",
        "WORKER_LEASE_SECONDS is wrong",
    ]
    assert found["wrong"][2]["why"] == "'0' from .env"
    assert "hunter2" not in ended.stdout + ended.stderr + output.stdout


def test_config_check_lists_inconsistent_settings(tmp_path: Path) -> None:
    together = {"WORKER_LEASE_SECONDS": "1", "WORKER_PREFETCH": "1"}

    ended = gofleet("config", "check", environment=together, cwd=tmp_path)

    assert ended.returncode == 2
    assert ended.stderr.count("error: ") == 2


def test_config_check_accepts_valid_settings(tmp_path: Path) -> None:
    ended = gofleet("config", "check", cwd=tmp_path)
    output = gofleet("config", "check", "--json", cwd=tmp_path)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "all settings are valid\n", "")
    assert json.loads(output.stdout) == {"ok": True, "wrong": []}


def test_health_of_an_unreachable_role_fails_with_the_reason(tmp_path: Path) -> None:
    ended = gofleet("health", "--url", "http://127.0.0.1:1", cwd=tmp_path)

    assert ended.returncode == 1
    assert "no answer from http://127.0.0.1:1" in ended.stderr


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_health_reports_the_answer_of_a_role(stub: StubServer, tmp_path: Path, status: int, code: int) -> None:
    stub.answers["GET", "/health/ready"] = (status, {"database": "ok"})
    environment = {"METRICS_PORT": stub.url.rpartition(":")[2]}

    for words in ([], ["--url", f"{stub.url}/"]):
        ended = gofleet("health", *words, environment=environment, cwd=tmp_path)
        assert (ended.returncode, ended.stdout) == (code, '{"database": "ok"}\n')


@pytest.mark.parametrize("url", ["127.0.0.1:2112", "http://", "http://h:x", "http://h:99999", "ftp://h"])
def test_health_rejects_a_url_that_is_not_one(url: str, tmp_path: Path) -> None:
    ended = gofleet("health", "--url", url, cwd=tmp_path)

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"no answer from {url}: ")


def test_health_needs_no_settings_and_no_http_client(stub: StubServer) -> None:
    stub.answers["GET", "/health/ready"] = (200, {})
    program = "import sys, gofleet.cli as c\nsys.argv[1:] = ['health']\ntry: c.main()\nfinally: print(*sys.modules)"
    environment = {**os.environ, "METRICS_PORT": stub.url.rpartition(":")[2]}

    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)

    assert {"httpx", "rich.console", "dynaconf", "gofleet.settings"} & set(ended.stdout.split()) == set()


def test_config_check_lists_settings_that_prevent_a_start(tmp_path: Path) -> None:
    production = {"GOFLEET_ENV": "production", "DB_PASSWORD": "root", "RABBITMQ_PASSWORD": "of our own"}
    ended = gofleet("config", "check", environment=production, cwd=tmp_path)
    assert ended.returncode == 2
    assert [line for line in ended.stderr.splitlines() if line.startswith("error: ")] == [
        "error: AUTH_ISSUER is missing",
        "error: DB_PASSWORD is not safe in production",
        "error: REDIS_PASSWORD is not safe in production",
        "error: gRPC without TLS is not safe in production",
    ]
    armed = {"GOFLEET_ENV": "production", "AUTH": "off", "GOFLEET_FAILPOINTS": "worker.after_lease=kill"}
    ended = gofleet("config", "check", environment=production | armed, cwd=tmp_path)
    assert "error: GOFLEET_FAILPOINTS is set in production" in ended.stderr
    ended = gofleet("config", "check", "--role", "relay", environment=production, cwd=tmp_path)
    assert ended.returncode == 2
    assert "AUTH_ISSUER" not in ended.stderr
    assert gofleet("config", "check", "--role", "wrong", cwd=tmp_path).returncode == 2


def test_certs_writes_a_ca_and_certificates_with_private_keys(tmp_path: Path) -> None:
    ended = gofleet("certs", "here", cwd=tmp_path)
    made = [Path(line) for line in ended.stdout.splitlines()]
    owners = ["fleet", "api", "worker", "postgres", "rabbitmq", "redis"]
    assert [file.name for file in made] == [
        "authority.pem",
        *(f"{owner}.{kind}" for owner in owners for kind in ("pem", "key")),
    ]
    keys = [tmp_path / file for file in made if file.suffix == ".key"]
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}
    trusted = Certificates(*(str(tmp_path / "here" / name) for name in ("authority.pem", "fleet.pem", "fleet.key")))
    assert trusted.for_server().get_ca_certs()
