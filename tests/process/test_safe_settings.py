"""Settings that prevent the start: no authentication in production, or authentication that no caller can pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gofleet.embedded.certificates import make_certificates
from gofleet.settings import SettingsError, load, unsafe
from gofleet.settings.auth import claim_paths

PRODUCTION = {
    "GOFLEET_ENV": "production",
    "DB_PASSWORD": "zB4-quite-long",
    "RABBITMQ_PASSWORD": "kQ9-quite-long",
    "REDIS_PASSWORD": "wM2-quite-long",
    "GRPC_TLS": "off",
}
ISSUER = {"AUTH_ISSUER": "https://login.example.com/realms/gofleet"}
ALL = ("fleet", "relay", "worker", "api")


def wrong(settings: dict[str, str], *roles: str) -> list[str]:
    return [error.what for error in unsafe(load(settings, dotenv=None), roles or ALL)]


def test_production_starts_with_an_issuer_and_its_own_passwords() -> None:
    assert wrong(PRODUCTION | ISSUER) == []


@pytest.mark.parametrize("role", ["fleet", "api", "worker"])
def test_production_requires_tls_or_a_decision_for_grpc(role: str) -> None:
    production = PRODUCTION | ISSUER | {"GRPC_TLS": "auto", "FLEET_HOST": "fleet"}
    assert wrong(production, role) == ["gRPC without TLS is not safe in production"]
    assert wrong(production, "relay") == []
    assert wrong(production | {"GRPC_TLS": "off"}, role) == []
    for local in ("127.0.0.1", "::1", "localhost"):
        assert wrong(production | {"GRPC_HOST": local, "FLEET_HOST": local}, role) == []
    for elsewhere in ("0.0.0.0", "::", "10.1.2.3", "fleet.example.com"):  # noqa: S104  not bound
        assert wrong(production | {"GRPC_HOST": elsewhere, "FLEET_HOST": elsewhere}, role) != []
    assert wrong({"FLEET_HOST": "fleet"}, role) == []


def test_tls_is_not_off_with_certificates(tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    named = {file.name: str(file) for file in files}
    tls = {
        "GRPC_TLS_CA": named["authority.pem"],
        "GRPC_TLS_CERT": named["fleet.pem"],
        "GRPC_TLS_KEY": named["fleet.key"],
    }
    assert wrong(PRODUCTION | ISSUER | tls | {"GRPC_TLS": "auto"}) == []
    with pytest.raises(SettingsError, match="GRPC_TLS is wrong"):
        load(tls | {"GRPC_TLS": "off"}, dotenv=None)


def test_development_starts_with_the_defaults() -> None:
    assert wrong({}) == []


def test_production_does_not_start_without_an_issuer() -> None:
    assert wrong(PRODUCTION) == ["AUTH_ISSUER is missing"]
    assert wrong(PRODUCTION, "worker", "relay", "fleet") == []


def test_authentication_can_be_disabled_explicitly() -> None:
    assert wrong(PRODUCTION | {"AUTH": "off"}) == []


def test_production_requires_an_https_issuer() -> None:
    insecure = {"AUTH_ISSUER": "http://login.example.com"}
    assert wrong(PRODUCTION | insecure) == ["AUTH_ISSUER is wrong"]
    assert wrong({"AUTH": "oidc"} | insecure) == []


@pytest.mark.parametrize("url", ["http://keycloak:8080/keys", "HTTP://login.example.com", "https:///keys", "keys"])
def test_production_fetches_keys_by_https_only(url: str) -> None:
    assert wrong(PRODUCTION | ISSUER | {"AUTH_KEYS_URL": url}) == ["AUTH_KEYS_URL is wrong"]
    assert wrong({"AUTH": "oidc"} | ISSUER | {"AUTH_KEYS_URL": url}) == []


def test_the_issuers_authority_is_a_readable_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="AUTH_CA is wrong"):
        load({"AUTH_CA": str(tmp_path / "none.pem")}, dotenv=None)


@pytest.mark.parametrize(
    "name", ["AUTH_AUDIENCE", "AUTH_AUDIENCE_CLAIM", "AUTH_SUBJECT_CLAIM", "AUTH_ROLE_CLAIMS", "AUTH_SCOPE_CLAIMS"]
)
def test_audience_and_claims_are_required(name: str) -> None:
    assert wrong(PRODUCTION | ISSUER | {name: ""}) == [f"{name} is missing"]


def test_an_audience_of_commas_is_missing() -> None:
    assert wrong(PRODUCTION | ISSUER | {"AUTH_AUDIENCE": " , "}) == ["AUTH_AUDIENCE is missing"]


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("", ()),
        ("roles", (("roles",),)),
        ("a.b, c", (("a", "b"), ("c",))),
        ('"https://a.example/roles"', (("https://a.example/roles",),)),
        ('a."b.c,d".e,cognito:groups', (("a", "b.c,d", "e"), ("cognito:groups",))),
        ("urn:x:roles.*,scope.*", (("urn:x:roles", "*"), ("scope", "*"))),
    ],
)
def test_claims_are_paths_of_names(text: str, paths: tuple[tuple[str, ...], ...]) -> None:
    assert claim_paths(text) == paths


@pytest.mark.parametrize("text", ["a,", "a.", ".a", "a..b", '"a', '"a"b', '""', "a b", ",", "*", "a.*.b"])
def test_claims_that_are_no_paths_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        claim_paths(text)
    with pytest.raises(SettingsError, match="AUTH_ROLE_CLAIMS is wrong"):
        load({"AUTH_ROLE_CLAIMS": text}, dotenv=None)


GUESSED = [
    "root",
    "guest",
    "admin",
    "password",
    "api",
    "worker",
    "changeme",
    "ChangeMe",
    " changeme ",
    "123456",
    "",
    " ",
]


@pytest.mark.parametrize("password", GUESSED)
def test_production_does_not_start_with_a_guessable_password(password: str) -> None:
    assert wrong(PRODUCTION | ISSUER | {"DB_PASSWORD": password}) == ["DB_PASSWORD is not safe in production"]
    rabbit = PRODUCTION | ISSUER | {"RABBITMQ_PASSWORD": password}
    assert wrong(rabbit) == ["RABBITMQ_PASSWORD is not safe in production"]
    assert wrong(rabbit, "api") == []
    assert wrong(rabbit | {"BROKER": "redis"}) == []
    redis = PRODUCTION | ISSUER | {"REDIS_PASSWORD": password}
    assert wrong(redis) == ["REDIS_PASSWORD is not safe in production"]
    assert wrong(redis, "api") == ["REDIS_PASSWORD is not safe in production"]
    for unused in (("relay",), ()):  # of no role: commands of the database's owner
        assert [error.what for error in unsafe(load(redis, dotenv=None), unused)] == []
    assert wrong(redis | {"LIMITS": "off"}, "api") == []
    assert wrong(redis | {"BROKER": "redis"}, "relay") == ["REDIS_PASSWORD is not safe in production"]


def test_a_password_equal_to_its_user_is_guessed() -> None:
    settings = PRODUCTION | ISSUER | {"DB_USER": "Dispatching-7", "DB_PASSWORD": "dispatching-7"}
    assert wrong(settings) == ["DB_PASSWORD is not safe in production"]


def test_a_socket_of_this_machine_needs_no_password() -> None:
    assert wrong(PRODUCTION | ISSUER | {"DB_HOST": "/run/postgresql", "DB_PASSWORD": ""}) == []


@pytest.mark.parametrize("password", ["changeme", ""])
def test_config_check_refuses_what_run_refuses(password: str) -> None:
    environment = {**os.environ, **PRODUCTION, **ISSUER, "REDIS_PASSWORD": password}
    for command in (["run", "--role", "all"], ["config", "check"]):
        ended = subprocess.run(
            [sys.executable, "-m", "gofleet", *command], env=environment, capture_output=True, text=True, check=False
        )
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith("error: REDIS_PASSWORD is not safe in production\n")


def test_commands_of_the_owner_check_its_password() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "gofleet", "migrate"],
        env={**os.environ, **PRODUCTION, "DB_PASSWORD": "root"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: DB_PASSWORD is not safe in production\n")


def test_the_process_reports_the_problem_and_ends() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "gofleet", "run", "--role", "api"],
        env={**os.environ, **PRODUCTION},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: AUTH_ISSUER is missing\n")
    assert "AUTH=off" in ended.stderr
