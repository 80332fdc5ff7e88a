"""Embedded RabbitMQ node, from the programs of an installed package; never the system's own node."""

import base64
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from gofleet.embedded.child import Child, clean_environment
from gofleet.embedded.resources import HOST, EmbeddedError, exchange
from gofleet.embedded.server import START_SECONDS, Server
from gofleet.embedded.steps import Steps
from gofleet.files import write_private

BIN_PATTERNS = (
    "/usr/lib/rabbitmq/bin",
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
)
"""Directories of the plain scripts. The ones in Debian's /usr/sbin change to the user of the system's node."""
EPMD_PATTERNS = ("/usr/lib/erlang/erts-*/bin",)

CONFIGURATION = """\
listeners.tcp.1 = {host}:{amqp}
loopback_users = none
load_definitions = {definitions}
log.console = true
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 50MB
"""
LOOPBACK_DISTRIBUTION = "-kernel inet_dist_use_interface {127,0,0,1}"
MANAGEMENT = """\
management.tcp.ip = {host}
management.tcp.port = {management}
"""


@dataclass(frozen=True)
class RabbitAddress:
    """Connection parameters; `management_url` is empty without the management plugin."""

    host: str
    port: int
    password: str = field(repr=False)
    user: str = "gofleet"
    vhost: str = "/"
    management_url: str = ""

    @property
    def url(self) -> str:
        """URI for AMQP 0-9-1 clients."""
        return f"amqp://{self.user}:{self.password}@{self.host}:{self.port}/{quote(self.vhost, safe='')}"


class RabbitMQ(Server[RabbitAddress]):
    """RabbitMQ node (3.10 or later) with its own epmd.

    `management` adds the HTTP API, and 5 s to an orderly stop. `bin_dir` contains rabbitmq-server. `settings` are added
    to the defaults, with the names of rabbitmq.conf.
    """

    name: ClassVar[str] = "RabbitMQ"
    port_count: ClassVar[int] = 4  # AMQP, HTTP, Erlang distribution, epmd

    def __init__(
        self,
        data: Path | None = None,
        *,
        port: int | None = None,
        management: bool = False,
        bin_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        start_seconds: float = START_SECONDS,
    ) -> None:
        super().__init__(data, port, start_seconds)
        self._management = management
        self._custom_bin_dir = bin_dir
        self._settings = dict(settings or {})
        self._bin_dir = Path()

    def ctl_command(self, *words: str) -> tuple[list[str], dict[str, str]]:
        """Command line and environment that run rabbitmqctl with `words` against this node."""
        return [str(self._bin_dir / "rabbitmqctl"), *words], self._environment()

    def _address(self) -> RabbitAddress:
        amqp, http, *_ = self._ports.chosen
        url = f"http://{HOST}:{http}" if self._management else ""
        return RabbitAddress(HOST, amqp, self._password, management_url=url)

    def _prepare(self) -> Steps:
        self._bin_dir = self._custom_bin_dir or _installed_bin_dir()
        for name in ("home", "conf"):
            (self._directory.path / name).mkdir(mode=0o700, exist_ok=True)
        write_private(self._directory.path / "home" / ".erlang.cookie", secrets.token_hex(24).encode())
        yield

    def _launch(self) -> Generator[None, None, Child]:
        self._write_configuration()
        environment = self._environment()
        epmd_port = self._ports.chosen[3]
        # Started here in the foreground; otherwise Erlang starts an epmd that outlives the node.
        epmd = self._spawn([_epmd(), "-address", HOST, "-port", str(epmd_port)], environment)
        self._companions.append(epmd)
        while epmd.exit_code is None and not exchange(epmd_port, b"\0\1n"):  # NAMES request
            yield
        if epmd.exit_code is not None:
            return epmd
        return self._spawn([self._bin_dir / "rabbitmq-server"], environment)

    def _write_configuration(self) -> None:
        amqp, http, *_ = self._ports.chosen
        text = CONFIGURATION + (MANAGEMENT if self._management else "")
        extra = "".join(f"{name} = {value}\n" for name, value in self._settings.items())
        conf = self._directory.path / "conf"
        definitions = conf / "definitions.json"
        write_private(definitions, json.dumps(_definitions(self._password)).encode())
        text = text.format(host=HOST, amqp=amqp, management=http, definitions=definitions)
        (conf / "rabbitmq.conf").write_text(text + extra)
        (conf / "advanced.config").write_text("[].\n")
        (conf / "enabled_plugins").write_text("[rabbitmq_management].\n" if self._management else "[].\n")

    def _environment(self) -> dict[str, str]:
        path = self._directory.path
        dist, epmd = self._ports.chosen[2:]
        return clean_environment(
            "RABBITMQ_", "ERL_", "NOTIFY_SOCKET",
            HOME=str(path / "home"),  # contains .erlang.cookie
            LANG="C.UTF-8",
            # The script then executes the node instead of supervising it, so signals reach the node itself.
            RUNNING_UNDER_SYSTEMD="true",
            RABBITMQ_NODENAME="gofleet@localhost",  # part of the data path, so it must not depend on the ports
            RABBITMQ_DIST_PORT=str(dist),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=LOOPBACK_DISTRIBUTION,
            RABBITMQ_CTL_ERL_ARGS=LOOPBACK_DISTRIBUTION,
            RABBITMQ_CONF_ENV_FILE=os.devnull,
            RABBITMQ_CONFIG_FILE=str(path / "conf" / "rabbitmq.conf"),
            RABBITMQ_ADVANCED_CONFIG_FILE=str(path / "conf" / "advanced.config"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(path / "conf" / "enabled_plugins"),
            RABBITMQ_MNESIA_BASE=str(path / "mnesia"),
            RABBITMQ_LOG_BASE=str(path),
            RABBITMQ_LOGS="-",
            RABBITMQ_PID_FILE=str(path / "pid"),
            ERL_EPMD_ADDRESS=HOST,
            ERL_EPMD_PORT=str(epmd),
            ERL_CRASH_DUMP_SECONDS="0",
        )  # fmt: skip

    def _is_ready(self, process: Child) -> bool:
        # Frame type 1 (method), class 10, method 10: Connection.Start.
        greeting = exchange(self._ports.chosen[0], b"AMQP\0\0\x09\x01", bytes_min=11)
        if greeting[:1] + greeting[7:11] != b"\1\0\x0a\0\x0a":
            return False
        return not self._management or bool(exchange(self._ports.chosen[1], b"HEAD / HTTP/1.0\r\n\r\n"))

    def _request_stop(self, process: Child) -> None:
        if self._directory.temporary:  # its data is deleted anyway
            process.kill()
        else:
            super()._request_stop(process)


def _definitions(password: str) -> dict[str, object]:
    """Definitions that the node imports at each start: its virtual host, and its user with the password's hash."""
    salt = secrets.token_bytes(4)
    hashed = base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "vhosts": [{"name": "/"}],
        "users": [
            {
                "name": "gofleet",
                "password_hash": hashed,
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": ["administrator"],
            }
        ],
        "permissions": [{"user": "gofleet", "vhost": "/", **everything}],
    }


def _installed_bin_dir() -> Path:
    if found := _find("rabbitmq-server", BIN_PATTERNS):
        return found.parent
    raise EmbeddedError(
        "RabbitMQ cannot be started",
        f"no rabbitmq-server in {', '.join(BIN_PATTERNS)}",
        "apt-get install -y --no-install-recommends rabbitmq-server",
    )


def _epmd() -> Path:
    if found := shutil.which("epmd"):
        return Path(found)
    if found := _find("epmd", EPMD_PATTERNS):
        return found
    raise EmbeddedError(
        "RabbitMQ cannot be started", "no epmd in PATH", "apt-get install -y --no-install-recommends erlang-base"
    )


def _find(name: str, patterns: Sequence[str]) -> Path | None:
    """The program `name` in the first matching directory."""
    paths = (path for pattern in patterns for path in sorted(Path("/").glob(f"{pattern[1:]}/{name}")))
    return next(paths, None)
