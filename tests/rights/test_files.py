"""The committed files of permissions follow from the code and contain no password."""

from __future__ import annotations

import json

import pytest

from gofleet.cli import app
from tests.rights.files import committed, made

MADE = made()


@pytest.mark.parametrize("path", MADE)
def test_the_committed_file_is_up_to_date(path: str) -> None:
    assert committed(path) == MADE[path], "run `just rights`"


def test_the_definitions_are_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    app("topology", result_action="return_value")

    assert json.loads(capsys.readouterr().out) == json.loads(committed("config/rabbitmq/definitions.json"))


def test_the_command_uses_the_settings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {"NAME_PREFIX": "a+b.", "RETRY_TIERS_SECONDS": "7", "RABBITMQ_VHOST": "town"}.items():
        monkeypatch.setenv(name, value)

    app("topology", result_action="return_value")

    printed = json.loads(capsys.readouterr().out)
    assert {queue["name"] for queue in printed["queues"]} == {
        f"a+b.{queue}{more}" for queue in ("orders.created", "fleet.drivers") for more in ("", ".parking", ".retry.7s")
    }
    [worker] = [one for one in printed["permissions"] if one["user"] == "a+b.worker"]
    assert (worker["configure"], worker["write"]) == ("^$", r"^(amq\.default)$")
    assert worker["read"] == r"^(a\+b\.orders\.created|a\+b\.orders\.created\.parking)$"
    assert {one["vhost"] for one in (*printed["queues"], *printed["bindings"], worker)} == {"town"}


def test_the_acl_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    app("acl", result_action="return_value")

    assert capsys.readouterr().out == committed("config/valkey/users.acl")


def test_no_user_of_the_acl_has_a_password_or_nopass() -> None:
    words = committed("config/valkey/users.acl").split()

    assert "nopass" not in words
    assert not [word for word in words if word.startswith((">", "#"))]


def test_no_user_of_the_definitions_has_a_password() -> None:
    users = json.loads(committed("config/rabbitmq/definitions.json"))["users"]

    assert [(user["name"], user["password_hash"], user["tags"]) for user in users] == [
        ("relay", "", []),
        ("worker", "", []),
        ("fleet", "", []),
    ]
    assert not [user for user in users if "password" in user]
