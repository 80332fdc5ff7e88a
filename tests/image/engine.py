"""Docker, or Podman where Docker is not available: the commands that work alike in both."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

LIMITS = [
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all", "--security-opt", "no-new-privileges"),  # noqa: S108
    *("--memory", "256m", "--pids-limit", "128"),
]
"""The limits of compose.yaml."""


@dataclass(frozen=True)
class Engine:
    """A container engine: `program` is docker or podman; containers run from `image` on this machine's network."""

    program: str
    image: str

    def run(self, *words: str) -> str:
        """The engine's output; AssertionError with its error output."""
        done = subprocess.run([self.program, *words], check=False, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{self.program} {' '.join(words)}: {done.stderr}"
        return done.stdout.strip()

    def inspected(self) -> dict[str, Any]:
        """The engine's description of the image."""
        [described] = msgspec.json.decode(self.run("image", "inspect", self.image))
        return described

    def once(self, command: list[str], environment: Mapping[str, str] = {}, *, entrypoint: str = "gofleet") -> str:
        """The output of a container that runs `command` to its end."""
        return self.run("run", "--rm", *_options(environment), "--entrypoint", entrypoint, self.image, *command)

    @contextmanager
    def container(self, command: list[str], environment: Mapping[str, str]) -> Generator[str]:
        """The id of a container that runs `command`; it is removed after the block."""
        container = self.run("run", "--detach", *_options(environment), self.image, *command)
        try:
            yield container
        finally:
            self.run("rm", "--force", container)

    def is_healthy(self, container: str) -> bool:
        """Whether the image's health check passes; Podman runs it by itself only with systemd."""
        image = self.inspected()
        check = image["Config"].get("Healthcheck") or image["Healthcheck"]  # Docker's key, and Podman's
        words = [self.program, "exec", container, *check["Test"][1:]]
        return subprocess.run(words, check=False, capture_output=True, timeout=30).returncode == 0

    def stop(self, container: str) -> int:
        """Its exit code after SIGTERM; 137 if it had to be killed."""
        self.run("stop", "--time", "20", container)
        return int(self.run("inspect", "--format", "{{.State.ExitCode}}", container))


def _options(environment: Mapping[str, str]) -> list[str]:
    return ["--network", "host", *LIMITS, *(f"--env={name}={value}" for name, value in environment.items())]


def an_engine(image: str) -> Engine:
    """Docker if it runs, else Podman."""
    docker = shutil.which("docker") and subprocess.run(["docker", "version"], check=False, capture_output=True)
    return Engine("docker" if docker and docker.returncode == 0 else "podman", image)
