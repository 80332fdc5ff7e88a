"""A healthy installation on real servers, and its diagnosis."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gofleet.adapters.grpc.server import fleet_server
from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.server import serving
from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.adapters.rabbit.topology import topology_of
from gofleet.doctor import CheckResult, CheckState, Diagnosis, DoctorOptions, diagnose
from gofleet.embedded import RabbitAddress, RabbitMQ
from gofleet.embedded.resources import free_ports
from gofleet.parts import rabbit_server as server_of
from gofleet.settings import load
from gofleet.testing.drivers import MemoryDrivers
from gofleet.testing.positions import MemoryPositions
from tests.roles.conftest import World
from tests.services import a_vhost
from tests.verification.conftest import environment

__all__ = ["environment"]

ROLES = ("fleet", "relay", "worker", "api")


@dataclass
class Installation:
    """An installation whose `environment` a test may change before the diagnosis; `rabbit` is its virtual host."""

    environment: dict[str, str]
    rabbit: RabbitAddress
    url: str
    roles: tuple[str, ...] = ROLES
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    async def diagnose(self) -> Diagnosis:
        case = DoctorOptions(load(self.environment, dotenv=None), self.roles, self.url, clock=self.clock)
        return await diagnose(replace(case, **self.options))

    async def expect(
        self, subject: str, check: str, state: CheckState = CheckState.FAILED, *, says: str, fix: str
    ) -> Diagnosis:
        """Assert that the diagnosis has this result and no other failure."""
        diagnosis = await self.diagnose()
        wrong = [finding for finding in diagnosis.results if finding.state is not CheckState.OK]
        assert [(each.subject, each.check, each.state) for each in wrong] == [(subject, check, state)], wrong
        [found] = wrong
        assert says in found.seen, found
        assert fix in found.fix, found
        assert diagnosis.healthy == (state is not CheckState.FAILED)
        return diagnosis


def results_of(diagnosis: Diagnosis, subject: str) -> dict[str, CheckResult]:
    """Results of a subject by check."""
    return {finding.check: finding for finding in diagnosis.results if finding.subject == subject}


@pytest.fixture
async def installation(environment: dict[str, str], rabbit_server: RabbitMQ) -> AsyncGenerator[Installation]:
    fleet = fleet_server(
        MemoryPositions(),
        MemoryDrivers(),
        host="127.0.0.1",
        port=0,
        depot=None,
        default_radius_km=5,
        max_radius_km=10,
        claim_ms=1000,
    )
    api = serving(api_app(World().api()), "127.0.0.1", 0, grace_seconds=2)
    with a_vhost(rabbit_server) as rabbit:
        web, grpc, metrics = free_ports(3)
        environment |= {
            "BROKER": "rabbitmq",
            "RABBITMQ_HOST": rabbit.host,
            "AMQP_PORT": str(rabbit.port),
            "RABBITMQ_USER": rabbit.user,
            "RABBITMQ_PASSWORD": rabbit.password,
            "RABBITMQ_VHOST": rabbit.vhost,
            "WEB_SERVER_PORT": str(web),
            "GRPC_PORT": str(grpc),
            "METRICS_PORT": str(metrics),
        }
        async with fleet as port, api as listening:
            environment["GRPC_PORT"] = str(port)
            settings = load(environment, dotenv=None)
            async with RabbitPublisher(server_of(settings), topology_of(settings)):
                pass  # declares
            yield Installation(environment, rabbit, listening.url)
