"""Diagnosis with the login of a role that has few privileges."""

from __future__ import annotations

from collections.abc import Generator
from urllib.parse import quote

import httpx
import pytest

from gofleet.adapters.rabbit.topology import Topology
from gofleet.doctor import CheckState
from gofleet.embedded import ValkeyAddress
from tests.doctor.conftest import Installation, results_of
from tests.rights.logins import Logins, rabbit_logins, redis_logins


@pytest.fixture
def logins(installation: Installation) -> Generator[Logins]:
    with rabbit_logins(installation.rabbit, Topology(installation.environment["NAME_PREFIX"])) as made:
        yield made


@pytest.mark.parametrize("role", ["relay", "worker", "fleet"])
async def test_a_role_that_declares_nothing_checks_the_topology(
    installation: Installation, logins: Logins, role: str
) -> None:
    installation.environment |= logins[role]

    found = results_of(await installation.diagnose(), "RabbitMQ")

    assert {check: finding.state for check, finding in found.items()} == dict.fromkeys(found, CheckState.OK)
    assert "declared externally" in found["topology"].seen


async def test_a_missing_queue_is_named_to_a_role_that_cannot_declare_it(
    installation: Installation, logins: Logins
) -> None:
    queue = f"{installation.environment['NAME_PREFIX']}orders.created.retry.5s"
    at = installation.rabbit
    url = f"{at.management_url}/api/queues/{quote(at.vhost, safe='')}/{queue}"
    async with httpx.AsyncClient(auth=(at.user, at.password), trust_env=False) as http:
        (await http.delete(url)).raise_for_status()
    installation.environment |= logins["worker"]

    await installation.expect("RabbitMQ", "topology", says=f"{queue} missing", fix="gofleet topology")


async def test_a_role_that_should_declare_without_the_privilege_is_reported(
    installation: Installation, logins: Logins
) -> None:
    installation.environment |= {**logins["worker"], "RABBITMQ_DECLARE": "on"}

    await installation.expect("RabbitMQ", "topology", says="not allowed to declare", fix="RABBITMQ_DECLARE=off")


ALONE = {"worker": ("worker",), "fleet": ("fleet",)}


@pytest.fixture
def at_redis(installation: Installation) -> Generator[Logins]:
    given = installation.environment
    at = ValkeyAddress(given["REDIS_HOST"], int(given["REDIS_PORT"]), given["REDIS_PASSWORD"])
    with redis_logins(at, installation.environment["NAME_PREFIX"]) as made:
        yield made


@pytest.mark.parametrize("role", ALONE)
async def test_a_redis_user_with_the_role_s_privileges_is_healthy(
    installation: Installation, at_redis: Logins, role: str
) -> None:
    installation.environment |= at_redis[role]
    installation.roles = ALONE[role]

    found = results_of(await installation.diagnose(), "Redis")

    assert {check: finding.state for check, finding in found.items()} == dict.fromkeys(found, CheckState.OK)
    assert f"as {at_redis[role]['REDIS_USER']}" in found["reachable"].seen
    assert "not visible to this user" in found["version"].seen
    assert "eviction" not in found


async def test_the_worker_s_redis_user_is_refused_commands_of_the_fleet(
    installation: Installation, at_redis: Logins
) -> None:
    installation.environment |= at_redis["worker"]

    await installation.expect("Redis", "commands", says="GEOSEARCH", fix="ACL")
