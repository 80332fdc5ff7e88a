"""Reading the settings: precedence of the sources, and errors of invalid values."""

from __future__ import annotations

from pathlib import Path

import pytest

from gofleet.settings import SettingsError, load, secrets_of
from gofleet.settings.load import catalogue


def test_the_defaults_are_the_seeds_except_a_workers_messages_in_flight() -> None:
    settings = load({}, dotenv=None)

    assert (settings.postgres.host, settings.postgres.port) == ("localhost", 5432)
    assert (settings.web.port, settings.fleet.port, settings.telemetry.metrics_port) == (8000, 50051, 2112)
    assert (settings.worker.concurrency, settings.worker.prefetch) == (32, 64)


def test_the_environment_overrides_dotenv_which_overrides_the_file(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("DB_HOST=from-dotenv\nREDIS_HOST=from-dotenv\n")

    settings = load({"DB_HOST": "from-environment"}, dotenv)

    assert (settings.postgres.host, settings.redis.host) == ("from-environment", "from-dotenv")
    assert settings.sources["DB_HOST"] == "the environment"
    assert settings.sources["REDIS_HOST"] == ".env"
    assert settings.sources["RABBITMQ_HOST"] == "config/settings.toml"
    assert settings.given("REDIS_HOST")
    assert not settings.given("RABBITMQ_HOST")


@pytest.mark.parametrize("password", ["true", "1e5", "{a=1}", "@int 5", "[1]", "", "  x", "pä$$"])
def test_a_password_is_read_literally(password: str) -> None:
    assert load({"DB_PASSWORD": password}, dotenv=None).postgres.password == password


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("DB_PORT", "abc", "a whole number"),
        ("DB_PORT", "70000", "<= 65535"),
        ("DB_PORT", "tcp://10.0.0.1:5432", "tcp://10.0.0.1:5432"),
        ("BROKER", "kafka", "rabbitmq or redis"),
        ("GRACE_SECONDS", "0", "> 0"),
        ("SEARCH_RADIUS_KM", "nan", "a number"),
        ("RETRY_TIERS_SECONDS", "1,x", "whole seconds"),
        ("RETRY_TIERS_SECONDS", "0,1", "whole seconds"),
        ("WORKER_LEASE_SECONDS", "1", "WORKER_DEADLINE_SECONDS"),
        ("WORKER_PREFETCH", "5", "WORKER_CONCURRENCY"),
        ("DEPOT_LAT", "", "DEPOT_LNG"),
        ("GOFLEET_ENV", "staging", "development or production"),
    ],
)
def test_an_invalid_value_is_an_error_with_the_allowed_ones(name: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load({name: value}, dotenv=None)

    assert says in str(refused.value)


def test_an_invalid_password_is_not_shown() -> None:
    secrets = [entry.name for entry in catalogue() if entry.secret]

    assert {"DB_PASSWORD", "RABBITMQ_PASSWORD", "REDIS_PASSWORD"} == set(secrets)
    assert "hunter2" not in repr(load({"DB_PASSWORD": "hunter2"}, dotenv=None))


def test_a_misspelt_variable_is_refused() -> None:
    with pytest.raises(SettingsError, match="did you mean DB_PORT"):
        load({"DB_PROT": "5433"}, dotenv=None)


def test_variables_of_other_programs_are_ignored() -> None:
    load({"HOME": "/", "DB_URL": "x", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "x", "RABBITMQ_PORT": "x"}, dotenv=None)


def test_an_unknown_name_in_a_file_is_refused(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("WORKER_CONCURENCY=5\n")

    with pytest.raises(SettingsError, match="did you mean WORKER_CONCURRENCY"):
        load({}, dotenv)


def test_without_a_depot_there_is_none() -> None:
    settings = load({"DEPOT_LAT": "", "DEPOT_LNG": ""}, dotenv=None)

    assert (settings.fleet.depot_lat, settings.fleet.depot_lng) == (None, None)


def test_every_setting_has_a_help_text_and_a_unit_in_its_name() -> None:
    entries = catalogue()

    assert all(entry.about.endswith(".") or ";" in entry.about for entry in entries)
    timed = [entry.name for entry in entries if "how long" in entry.about.lower() or "longest" in entry.about.lower()]
    assert all("SECONDS" in name or name.endswith("_MS") for name in timed), timed


def test_production_has_its_own_section() -> None:
    assert load({"GOFLEET_ENV": "production"}, dotenv=None).telemetry.log_format == "json"


def test_a_secret_is_read_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("p w=1\n")
    written = "p w=1"
    assert load({"DB_PASSWORD_FILE": str(secret)}, dotenv=None).postgres.password == written
    (tmp_path / ".env").write_text(f"REDIS_PASSWORD_FILE={secret}\n")
    assert load({}, tmp_path / ".env").redis.password == written
    assert written in secrets_of(load({"DB_PASSWORD_FILE": str(secret)}, dotenv=None))


@pytest.mark.parametrize(
    ("environ", "what"),
    [
        ({"DB_PASSWORD_FILE": "/nowhere/at/all"}, "DB_PASSWORD_FILE is wrong"),
        ({"DB_PASSWORD_FILE": "/dev/null", "DB_PASSWORD": "x"}, "DB_PASSWORD is set twice"),
        ({"DB_PASWORD_FILE": "/dev/null"}, "unknown setting DB_PASWORD_FILE"),
    ],
)
def test_an_invalid_secrets_file_is_refused(environ: dict[str, str], what: str) -> None:
    with pytest.raises(SettingsError) as error:
        load(environ, dotenv=None)
    assert error.value.what == what


def test_only_secrets_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "host").write_text("elsewhere")
    assert load({"DB_HOST_FILE": str(tmp_path / "host")}, dotenv=None).postgres.host == "localhost"
