"""Docker, or Podman where no Docker answers: the few commands that both understand alike."""

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
"""As in compose.yaml."""


@dataclass(frozen=True)
class Engine:
    """`program` is docker or podman; containers run from `image`, on the network of this machine."""

    program: str
    image: str

    def say(self, *words: str) -> str:
        """What the engine answers; AssertionError with its complaint."""
        done = subprocess.run([self.program, *words], check=False, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{self.program} {' '.join(words)}: {done.stderr}"
        return done.stdout.strip()

    def inspected(self) -> dict[str, Any]:
        """What the engine knows of the image."""
        [found] = msgspec.json.decode(self.say("image", "inspect", self.image))
        return found

    def once(self, command: list[str], environment: Mapping[str, str] = {}, *, entrypoint: str = "gofleet") -> str:
        """What a container prints that runs `command` to its end."""
        return self.say("run", "--rm", *_options(environment), "--entrypoint", entrypoint, self.image, *command)

    @contextmanager
    def container(self, command: list[str], environment: Mapping[str, str]) -> Generator[str]:
        """The id of a container that runs `command`; it is removed after the block."""
        found = self.say("run", "--detach", *_options(environment), self.image, *command)
        try:
            yield found
        finally:
            self.say("rm", "--force", found)

    def is_healthy(self, container: str) -> bool:
        """Whether the image's own health check is content; podman would need systemd to ask by itself."""
        found = self.inspected()
        check = found["Config"].get("Healthcheck") or found["Healthcheck"]  # Docker's place, and Podman's
        words = [self.program, "exec", container, *check["Test"][1:]]
        return subprocess.run(words, check=False, capture_output=True, timeout=30).returncode == 0

    def stop(self, container: str) -> int:
        """Its exit code after SIGTERM, or 137 if that was not enough."""
        self.say("stop", "--time", "20", container)
        return int(self.say("inspect", "--format", "{{.State.ExitCode}}", container))


def _options(environment: Mapping[str, str]) -> list[str]:
    return ["--network", "host", *LIMITS, *(f"--env={name}={value}" for name, value in environment.items())]


def an_engine(image: str) -> Engine:
    """Docker if it answers, else Podman."""
    answers = shutil.which("docker") and subprocess.run(["docker", "version"], check=False, capture_output=True)
    return Engine("docker" if answers and answers.returncode == 0 else "podman", image)
