"""Embedded servers of the demo, and the settings by which its roles and other commands reach them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from gofleet.cli.demo_log import LOG_FILE

if TYPE_CHECKING:
    from gofleet.embedded import Postgres, RabbitMQ, Server, Valkey
    from gofleet.settings import Settings

LOOPBACK = "127.0.0.1"
Broker = Literal["redis", "rabbitmq"]
ENV_FILE, SERVICE_FILE = "demo.env", "pg_service.conf"


@dataclass(frozen=True)
class DemoServers:
    """Servers to start; None = the settings name a running one. `broker` carries the events."""

    postgres: Postgres | None
    valkey: Valkey | None
    rabbitmq: RabbitMQ | None
    broker: Broker

    @classmethod
    def choose(cls, folder: Path, settings: Settings, broker: Broker | None) -> DemoServers:
        """The servers that the settings do not name, with their data in `folder`."""
        from gofleet.embedded import Postgres, RabbitMQ, Valkey

        has_rabbitmq = settings.given("RABBITMQ_HOST")
        if broker is None:
            configured = settings.general.broker if settings.given("BROKER") else None
            broker = configured or ("rabbitmq" if has_rabbitmq else "redis")
        return cls(
            postgres=None if settings.given("DB_HOST") else Postgres(folder / "postgres"),
            valkey=None if settings.given("REDIS_HOST") else Valkey(folder / "valkey"),
            rabbitmq=RabbitMQ(folder / "rabbitmq") if broker == "rabbitmq" and not has_rabbitmq else None,
            broker=broker,
        )

    @property
    def needed(self) -> list[Server[Any]]:
        return [server for server in (self.postgres, self.valkey, self.rabbitmq) if server is not None]

    def environment(self) -> dict[str, str]:
        """Settings that connect the roles to the started servers."""
        variables = {"BROKER": self.broker, "FLEET_HOST": LOOPBACK}
        if self.postgres:
            db = self.postgres.address
            variables |= {"DB_HOST": db.host, "DB_PORT": str(db.port), "DB_USER": db.user, "DB_PASSWORD": db.password}
            variables |= {"DB_NAME": db.database, "DB_SSLMODE": "disable"}
        if self.valkey:
            redis = self.valkey.address
            variables |= {"REDIS_HOST": redis.host, "REDIS_PORT": str(redis.port), "REDIS_PASSWORD": redis.password}
        if self.rabbitmq:
            rabbit = self.rabbitmq.address
            variables |= {"RABBITMQ_HOST": rabbit.host, "AMQP_PORT": str(rabbit.port)}
            variables |= {"RABBITMQ_USER": rabbit.user, "RABBITMQ_PASSWORD": rabbit.password}
        return variables


def check_programs(settings: Settings) -> None:
    """`EmbeddedError` if the program of a server to be started is not installed."""
    from gofleet.embedded.postgres import bin_dir_from_wheel
    from gofleet.embedded.valkey import binary_from_wheel

    if not settings.given("DB_HOST"):
        bin_dir_from_wheel()
    if not settings.given("REDIS_HOST"):
        binary_from_wheel()


class AccessFiles(NamedTuple):
    """Files with mode 0600 by which the user reaches the servers: an `--env-file`, a service file for psql, the log."""

    env: Path
    service: Path
    log: Path


def write_access_files(folder: Path, variables: Mapping[str, str], settings: Settings) -> AccessFiles:
    """Write the settings of the roles, and the address of PostgreSQL."""
    from gofleet.files import write_private

    env_file, service_file = folder / ENV_FILE, folder / SERVICE_FILE
    write_private(env_file, "".join(f"{name}={value}\n" for name, value in variables.items()).encode())
    db = settings.postgres
    service = {"host": db.host, "port": db.port, "user": db.user, "password": db.password, "dbname": db.database}
    lines = ["[gofleet]", *(f"{name}={value}" for name, value in service.items()), f"sslmode={db.sslmode}", ""]
    write_private(service_file, "\n".join(lines).encode())
    return AccessFiles(env_file, service_file, folder / LOG_FILE)


def local_only(settings: Settings) -> dict[str, str]:
    """Without authentication the servers listen only on the loopback interface, unless a host is set explicitly."""
    names = ("WEB_SERVER_HOST", "GRPC_HOST", "METRICS_HOST")
    hosts = {name: LOOPBACK for name in names if not settings.given(name)}
    return {"AUTH": "off", "LIMITS": "off", **hosts}


def choose_ports(settings: Settings) -> dict[str, str]:
    """Ports that are not set explicitly: the default if it is free, otherwise the next free one.

    `StartError` if one that is set is in use.
    """
    from gofleet.listening import check_listener, free_port, listeners
    from gofleet.roles import ORDER

    chosen = dict[str, str]()
    for listener in listeners(settings, ORDER):
        host = listener.host if settings.given(listener.host_setting) else LOOPBACK
        if settings.given(listener.port_setting):
            check_listener(listener._replace(host=host))
        else:
            chosen[listener.port_setting] = str(free_port(host, listener.port))
    return chosen
