"""Nothing is found where nothing is wrong, and only what concerns the chosen roles is looked at."""

from __future__ import annotations

import pytest

from gofleet.doctor import CheckState
from tests.doctor.conftest import ROLES, Installation, results_of


async def test_a_healthy_installation(patient: Installation) -> None:
    diagnosis = await patient.diagnose()

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
async def test_each_role_needs_its_own(
    patient: Installation, roles: tuple[str, ...], broker: str, subjects: set[str]
) -> None:
    patient.roles, patient.options = roles, {"url": None}
    patient.environment["BROKER"] = broker

    diagnosis = await patient.diagnose()

    assert {each.subject for each in diagnosis.results} == subjects | {"settings", "this machine"}
    ports = {"api": "WEB_SERVER_PORT", "fleet": "GRPC_PORT"}
    assert set(results_of(diagnosis, "this machine")) == {ports[role] for role in roles if role in ports} | {
        "METRICS_PORT"
    }


async def test_an_examination_that_takes_too_long_is_ended_and_told(patient: Installation) -> None:
    patient.options = {"timeout_seconds": 0.001}

    diagnosis = await patient.diagnose()

    assert not diagnosis.healthy
    assert {each.check for each in diagnosis.results if each.subject == "PostgreSQL"} == {"answers"}
