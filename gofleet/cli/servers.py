"""Which servers the demo has to start itself, and how its roles then find them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gofleet.embedded import Postgres, RabbitMQ, Server, Valkey
from gofleet.settings import Settings


@dataclass(frozen=True)
class Servers:
    """None = there is one already, by the settings; `broker` is what carries the events."""

    postgres: Postgres | None
    valkey: Valkey | None
    rabbitmq: RabbitMQ | None
    broker: Literal["redis", "rabbitmq"]

    @classmethod
    def wanted(cls, place: Path, settings: Settings, broker: Literal["redis", "rabbitmq"] | None) -> Servers:
        """What is missing, given the settings; its data will lie in `place`."""
        given_rabbit = settings.given("RABBITMQ_HOST")
        if broker is None:
            said = settings.general.broker if settings.given("BROKER") else None
            broker = said or ("rabbitmq" if given_rabbit else "redis")
        return cls(
            postgres=None if settings.given("DB_HOST") else Postgres(place / "postgres"),
            valkey=None if settings.given("REDIS_HOST") else Valkey(place / "valkey"),
            rabbitmq=RabbitMQ(place / "rabbitmq") if broker == "rabbitmq" and not given_rabbit else None,
            broker=broker,
        )

    @property
    def needed(self) -> list[Server[Any]]:
        return [server for server in (self.postgres, self.valkey, self.rabbitmq) if server is not None]

    @property
    def names(self) -> list[str]:
        return [server.name for server in self.needed]

    def environment(self) -> dict[str, str]:
        """The settings that point at the servers, once they are up."""
        found = {"BROKER": self.broker, "FLEET_HOST": "127.0.0.1"}
        if self.postgres:
            at = self.postgres.address
            found |= {"DB_HOST": at.host, "DB_PORT": str(at.port), "DB_USER": at.user, "DB_PASSWORD": at.password}
            found |= {"DB_NAME": at.database, "DB_SSLMODE": "disable"}
        if self.valkey:
            found |= {"REDIS_HOST": self.valkey.address.host, "REDIS_PORT": str(self.valkey.address.port)}
        if self.rabbitmq:
            broker = self.rabbitmq.address
            found |= {"RABBITMQ_HOST": broker.host, "AMQP_PORT": str(broker.port)}
            found |= {"RABBITMQ_USER": broker.user, "RABBITMQ_PASSWORD": broker.password}
        return found
