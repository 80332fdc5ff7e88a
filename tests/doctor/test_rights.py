"""The doctor logs in as a role that may do little, and says what that role can and cannot tell."""

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
def logins(patient: Installation) -> Generator[Logins]:
    with rabbit_logins(patient.rabbit, Topology(patient.environment["NAME_PREFIX"])) as made:
        yield made


@pytest.mark.parametrize("role", ["relay", "worker", "fleet"])
async def test_a_role_that_declares_nothing_sees_that_all_is_there(
    patient: Installation, logins: Logins, role: str
) -> None:
    patient.environment |= logins[role]

    found = results_of(await patient.diagnose(), "RabbitMQ")

    assert {check: finding.state for check, finding in found.items()} == dict.fromkeys(found, CheckState.OK)
    assert "declared externally" in found["topology"].seen


async def test_it_names_what_others_have_to_make(patient: Installation, logins: Logins) -> None:
    queue = f"{patient.environment['NAME_PREFIX']}orders.created.retry.5s"
    at = patient.rabbit
    url = f"{at.management_url}/api/queues/{quote(at.vhost, safe='')}/{queue}"
    async with httpx.AsyncClient(auth=(at.user, at.password), trust_env=False) as http:
        (await http.delete(url)).raise_for_status()
    patient.environment |= logins["worker"]

    await patient.expect("RabbitMQ", "topology", says=f"{queue} missing", fix="gofleet topology")


async def test_who_should_declare_and_may_not_is_told_so(patient: Installation, logins: Logins) -> None:
    patient.environment |= {**logins["worker"], "RABBITMQ_DECLARE": "on"}

    await patient.expect("RabbitMQ", "topology", says="not allowed to declare", fix="RABBITMQ_DECLARE=off")


ALONE = {"worker": ("worker",), "fleet": ("fleet",)}


@pytest.fixture
def at_redis(patient: Installation) -> Generator[Logins]:
    at = ValkeyAddress(patient.environment["REDIS_HOST"], int(patient.environment["REDIS_PORT"]))
    with redis_logins(at, patient.environment["NAME_PREFIX"]) as made:
        yield made


@pytest.mark.parametrize("role", ALONE)
async def test_a_role_at_redis_is_told_that_it_can_work_and_little_else(
    patient: Installation, at_redis: Logins, role: str
) -> None:
    patient.environment |= at_redis[role]
    patient.roles = ALONE[role]

    found = results_of(await patient.diagnose(), "Redis")

    assert {check: finding.state for check, finding in found.items()} == dict.fromkeys(found, CheckState.OK)
    assert f"as {at_redis[role]['REDIS_USER']}" in found["reachable"].seen
    assert "not visible to this user" in found["version"].seen
    assert "eviction" not in found


async def test_one_who_plays_the_fleet_as_a_worker_is_told_what_is_refused(
    patient: Installation, at_redis: Logins
) -> None:
    patient.environment |= at_redis["worker"]

    await patient.expect("Redis", "commands", says="GEOSEARCH", fix="ACL")
