"""What keeps a process from starting: settings that would let in anybody, or nobody."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gofleet.settings import load, unsafe

PRODUCTION = {"GOFLEET_ENV": "production", "DB_PASSWORD": "zB4-quite-long", "RABBITMQ_PASSWORD": "kQ9-quite-long"}
ISSUER = {"AUTH_ISSUER": "https://login.example.com/realms/gofleet"}
ALL = ("fleet", "relay", "worker", "api")


def wrong(settings: dict[str, str], *roles: str) -> list[str]:
    return [error.what for error in unsafe(load(settings, dotenv=None), roles or ALL)]


def test_production_with_an_issuer_and_passwords_of_its_own_starts() -> None:
    assert wrong(PRODUCTION | ISSUER) == []


def test_development_starts_as_it_is() -> None:
    assert wrong({}) == []


def test_production_does_not_start_without_an_issuer() -> None:
    assert wrong(PRODUCTION) == ["AUTH_ISSUER is missing"]
    assert wrong(PRODUCTION, "worker", "relay", "fleet") == []


def test_who_says_so_lets_anybody_in() -> None:
    assert wrong(PRODUCTION | {"AUTH": "off"}) == []


def test_production_trusts_no_issuer_that_is_not_encrypted() -> None:
    insecure = {"AUTH_ISSUER": "http://login.example.com"}
    assert wrong(PRODUCTION | insecure) == ["AUTH_ISSUER is wrong"]
    assert wrong({"AUTH": "oidc"} | insecure) == []


@pytest.mark.parametrize("name", ["AUTH_AUDIENCE", "AUTH_ROLE_CLAIMS"])
def test_tokens_must_be_for_somebody_and_have_roles(name: str) -> None:
    assert wrong(PRODUCTION | ISSUER | {name: ""}) == [f"{name} is missing"]


@pytest.mark.parametrize("password", ["root", "guest", "admin", "password", "api", "worker"])
def test_production_does_not_start_with_a_password_that_everybody_knows(password: str) -> None:
    assert wrong(PRODUCTION | ISSUER | {"DB_PASSWORD": password}) == ["DB_PASSWORD is not safe in production"]
    rabbit = PRODUCTION | ISSUER | {"RABBITMQ_PASSWORD": password}
    assert wrong(rabbit) == ["RABBITMQ_PASSWORD is not safe in production"]
    assert wrong(rabbit, "api") == []
    assert wrong(rabbit | {"BROKER": "redis"}) == []


def test_the_owners_password_is_looked_at_by_who_connects_as_the_owner() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "gofleet", "migrate"],
        env={**os.environ, **PRODUCTION, "DB_PASSWORD": "root"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: DB_PASSWORD is not safe in production\n")


def test_the_process_says_what_is_wrong_and_ends() -> None:
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
