"""A healthy installation has no failures, and only what the chosen roles need is checked."""

from __future__ import annotations

import pytest

from gofleet.doctor import CheckState
from tests.doctor.conftest import ROLES, Installation, results_of


async def test_a_healthy_installation(installation: Installation) -> None:
    diagnosis = await installation.diagnose()

    assert [each for each in diagnosis.results if each.state is not CheckState.OK] == []
    assert diagnosis.healthy
    subjects = list(dict.fromkeys(each.subject for each in diagnosis.results))
    assert subjects == ["settings", "PostgreSQL", "RabbitMQ", "Redis", "fleet", "api", "this machine"]
    assert "already listens on it" in results_of(diagnosis, "this machine")["GRPC_PORT"].seen
    assert "is free" in results_of(diagnosis, "this machine")["WEB_SERVER_PORT"].seen


@pytest.mark.parametrize(
    ("roles", "broker", "subjects"),
    [
        (("api",), "rabbitmq", {"PostgreSQL", "fleet"}),
        (("relay",), "rabbitmq", {"PostgreSQL", "RabbitMQ"}),
        (("relay",), "redis", {"PostgreSQL", "Redis"}),
        (("worker",), "rabbitmq", {"PostgreSQL", "RabbitMQ", "Redis", "fleet"}),
        (("fleet",), "redis", {"PostgreSQL", "Redis"}),
        (ROLES, "rabbitmq", {"PostgreSQL", "RabbitMQ", "Redis", "fleet"}),
    ],
)
async def test_each_role_has_its_checks(
    installation: Installation, roles: tuple[str, ...], broker: str, subjects: set[str]
) -> None:
    installation.roles, installation.options = roles, {"url": None}
    installation.environment["BROKER"] = broker

    diagnosis = await installation.diagnose()

    assert {each.subject for each in diagnosis.results} == subjects | {"settings", "this machine"}
    ports = {"api": "WEB_SERVER_PORT", "fleet": "GRPC_PORT"}
    assert set(results_of(diagnosis, "this machine")) == {ports[role] for role in roles if role in ports} | {
        "METRICS_PORT"
    }


async def test_a_check_that_exceeds_its_time_is_ended_and_reported(installation: Installation) -> None:
    installation.options = {"timeout_seconds": 0.001}

    diagnosis = await installation.diagnose()

    assert not diagnosis.healthy
    assert {each.check for each in diagnosis.results if each.subject == "PostgreSQL"} == {"answers"}
