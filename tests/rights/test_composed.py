"""In compose.yaml every role has its own user at RabbitMQ and Valkey, and both servers get all passwords."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gofleet.adapters.rabbit.definitions import definitions
from gofleet.adapters.rabbit.topology import topology_of
from gofleet.adapters.redis.acl import acl_of
from gofleet.roles import ORDER
from gofleet.settings import load
from tests.composed import ROOT, composed

SERVICES = composed().services
ROLES = [role for role in ORDER if "RABBITMQ_HOST" in SERVICES[role].environment]


def test_each_role_and_the_operators_have_their_own_password() -> None:
    variables = [f"RABBITMQ_{role.upper()}_PASSWORD" for role in ROLES]
    given = {name: name.lower() for name in ("RABBITMQ_USER", "RABBITMQ_PASSWORD", *variables)}
    services = composed(**given).services
    rabbitmq = services["rabbitmq"].environment

    assert set(ROLES) == {"relay", "worker", "fleet"}
    assert (rabbitmq["ADMIN_USER"], rabbitmq["ADMIN_PASSWORD"]) == ("rabbitmq_user", "rabbitmq_password")
    for role in ROLES:
        ours = services[role].environment
        assert (ours["RABBITMQ_USER"], ours["RABBITMQ_DECLARE"]) == (role, "off")
        assert ours["RABBITMQ_PASSWORD"] == rabbitmq[f"{role.upper()}_PASSWORD"] == f"rabbitmq_{role}_password"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_and_rabbitmq_have_the_same_password(role: str) -> None:
    environment = {name: value for name, value in SERVICES[role].environment.items() if value is not None}
    settings = load(environment, dotenv=None)
    given = json.loads((ROOT / "config/rabbitmq/definitions.json").read_text())

    assert given == definitions(replace(topology_of(settings), declared_by_us=True), settings.broker.vhost)


def test_rabbitmq_starts_with_the_mounted_files() -> None:
    service = SERVICES["rabbitmq"]
    script, folder = (service.entrypoint or [])[-2:]
    mounts = {mount.target: Path(mount.source) for mount in service.volumes if mount.type == "bind"}
    conf = mounts.pop("/etc/rabbitmq/conf.d/90-gofleet.conf").read_text()

    assert mounts == {str(Path(script).parent): ROOT / "config/rabbitmq"}
    assert (ROOT / "config/rabbitmq" / Path(script).name).is_file()
    assert f"load_definitions = {folder}\n" in conf
    assert [folder.startswith(f"{place}/") for place in service.tmpfs] == [True]  # never on a disk
    assert service.command == ["docker-entrypoint.sh", "rabbitmq-server"]


USING_REDIS = [role for role in ORDER if "REDIS_HOST" in SERVICES[role].environment]


def test_each_role_and_the_operators_have_their_own_redis_password() -> None:
    variables = ["REDIS_PASSWORD", *(f"REDIS_{role.upper()}_PASSWORD" for role in USING_REDIS)]
    services = composed(**{name: name.lower() for name in variables}).services
    redis = services["redis"].environment

    assert set(USING_REDIS) == {"api", "worker", "fleet"}
    assert {redis[name] for name in ("ADMIN_PASSWORD", "REDISCLI_AUTH")} == {"redis_password"}
    for role in USING_REDIS:
        ours = services[role].environment
        assert ours["REDIS_USER"] == role
        assert ours["REDIS_PASSWORD"] == redis[f"{role.upper()}_PASSWORD"] == f"redis_{role}_password"


@pytest.mark.parametrize("role", USING_REDIS)
def test_a_role_and_redis_have_the_same_password(role: str) -> None:
    environment = {name: value for name, value in SERVICES[role].environment.items() if value is not None}

    assert acl_of(load(environment, dotenv=None)) == (ROOT / "config/valkey/users.acl").read_text()


def test_redis_starts_with_the_mounted_files() -> None:
    service = SERVICES["redis"]
    script, file = (service.entrypoint or [])[-2:]
    mounts = {mount.target: Path(mount.source) for mount in service.volumes if mount.type == "bind"}

    assert mounts == {str(Path(script).parent): ROOT / "config/valkey"}
    assert (ROOT / "config/valkey" / Path(script).name).is_file()
    assert (service.command or [])[:2] == ["docker-entrypoint.sh", "valkey-server"]
    assert (service.command or [])[-2:] == ["--aclfile", file]
    assert [file.startswith(f"{place}/") for place in service.tmpfs] == [True]  # never on a disk
