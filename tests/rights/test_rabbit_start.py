"""RabbitMQ started as compose.yaml starts it: config/rabbitmq/start.sh and the definitions it imports."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import aio_pika
import httpx
import pytest
from aio_pika.exceptions import ProbableAuthenticationError

from gofleet.adapters.rabbit.connection import RabbitServer
from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.adapters.rabbit.topology import Topology
from gofleet.domain import events
from gofleet.domain.messages import Message
from gofleet.embedded import RabbitMQ, running
from tests.rights.files import ROOT
from tests.services import HTTP_SECONDS

START, CONF = ROOT / "config/rabbitmq/start.sh", ROOT / "config/rabbitmq/gofleet.conf"
PASSWORDS = {
    "ADMIN_PASSWORD": "with spaces, a tab\t and \\backslash\\",
    "RELAY_PASSWORD": """q"uo'te & $HOME `x` \\" {"a": 1}""",
    "WORKER_PASSWORD": "Größe 🚚 %s %%",
    "FLEET_PASSWORD": "-n -e $(id)",
}
FOLDER = "/run/gofleet/rabbitmq"


def start(folder: Path, environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", START, folder, *command],
        env={"PATH": os.environ["PATH"], **environment},
        check=False,
        capture_output=True,
        text=True,
    )


class Importing(RabbitMQ):
    """One that is configured as in the container, but for the place of the files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(management=True)
        self._folder = folder

    def _write_configuration(self) -> None:
        super()._write_configuration()
        text = CONF.read_text()
        assert FOLDER in text
        with (self._directory.path / "conf" / "rabbitmq.conf").open("a") as conf:
            conf.write(text.replace(FOLDER, str(self._folder)))


@dataclass(frozen=True)
class Started:
    host: str
    port: int
    management_url: str

    def get(self, path: str, user: str, password: str) -> httpx.Response:
        url = f"{self.management_url}/api{path}"
        return httpx.get(url, auth=(user, password), timeout=HTTP_SECONDS, trust_env=False)

    def url(self, user: str, password: str) -> str:
        return f"amqp://{user}:{quote(password, safe='')}@{self.host}:{self.port}/"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Generator[Started]:
    folder = tmp_path_factory.mktemp("run") / "rabbitmq"
    done = start(folder, {"ADMIN_USER": "max", **PASSWORDS}, "true")
    assert (done.returncode, done.stderr) == (0, "")
    written = "".join(file.read_text() for file in folder.iterdir())
    assert not [secret for secret in PASSWORDS.values() if secret in written]
    with running(server := Importing(folder)):
        at = server.address
        yield Started(at.host, at.port, at.management_url)


@pytest.mark.parametrize("role", ["relay", "worker", "fleet"])
async def test_a_role_logs_in_with_the_password_of_the_environment(started: Started, role: str) -> None:
    async with await aio_pika.connect(started.url(role, PASSWORDS[f"{role.upper()}_PASSWORD"])):
        pass
    for wrong in ("", role, "guest"):
        with pytest.raises(ProbableAuthenticationError):
            await aio_pika.connect(started.url(role, wrong))


def test_the_management_user_may_do_everything_and_guest_does_not_exist(started: Started) -> None:
    password = PASSWORDS["ADMIN_PASSWORD"]
    users = started.get("/users", "max", password).json()

    assert {user["name"]: user["tags"] for user in users} == {
        "max": ["administrator"],
        "relay": [],
        "worker": [],
        "fleet": [],
    }
    assert started.get("/permissions/%2F/max", "max", password).json()["configure"] == ".*"
    assert started.get("/whoami", "guest", "guest").status_code == 401


async def test_events_find_their_queue(started: Started) -> None:
    relay = RabbitServer(started.host, started.port, "relay", PASSWORDS["RELAY_PASSWORD"])
    topology = Topology(declared_by_us=False)
    async with RabbitPublisher(relay, topology) as publisher:
        await publisher.check()
        for name in events_of(topology):
            assert await publisher.publish([Message(f"event-{name}", name, "order-1", 1, b"{}")]) == [None]
    person = RabbitServer(started.host, started.port, "max", PASSWORDS["ADMIN_PASSWORD"])
    async with RabbitPublisher(person, replace(topology, declared_by_us=True)):
        pass  # what was imported is what we would declare


def events_of(topology: Topology) -> list[str]:
    found = sorted({name for types in topology.queues.values() for name in types})
    assert events.ORDERS_CREATED in found
    return found


@pytest.mark.parametrize("name", PASSWORDS)
def test_without_a_password_it_does_not_start(name: str, tmp_path: Path) -> None:
    for given in ({}, {name: ""}):
        lacking = {one: "x" for one in PASSWORDS if one != name} | given
        done = start(tmp_path / "run", lacking, "echo", "started")

        assert (done.returncode, done.stdout) == (2, "")
        assert f"{name} is missing" in done.stderr


@pytest.mark.parametrize("name", ["a b", 'a"b', "relay", "fleet", "$(id)"])
def test_a_name_that_cannot_be_written_or_is_taken_is_refused(name: str, tmp_path: Path) -> None:
    done = start(tmp_path / "run", {"ADMIN_USER": name, **PASSWORDS}, "echo", "started")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")


def test_the_server_process_does_not_get_the_passwords(tmp_path: Path) -> None:
    done = start(tmp_path / "run", PASSWORDS, "env")

    assert "_PASSWORD" not in done.stdout
