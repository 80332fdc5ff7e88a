"""The servers and the role processes that are measured: private, durable, with every feature on."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql

from gofleet.adapters.postgres.migrate import apply_migrations
from gofleet.embedded import Postgres, RabbitMQ, Valkey, running
from gofleet.listening import free_port
from tests.databases import conninfo_of, make_logins
from tests.journeys.installation import Installation, an_installation
from tests.otlp import Collector, collecting

POSTGRES_SETTINGS = {
    "track_commit_timestamp": "on",
    "shared_buffers": "1GB",
    # Only requested checkpoints: a case takes seconds, and would meet others by chance.
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "shared_preload_libraries": "pg_stat_statements",
}
SMOKE_SETTINGS = POSTGRES_SETTINGS | {"shared_buffers": "64MB", "max_wal_size": "1GB"}
TEMPLATE = "gofleet"
TRACED_SHARE = "0.01"


@dataclass(frozen=True)
class Servers:
    """What runs for the length of a bench. Valkey keeps its append-only file, RabbitMQ its quorum queues."""

    postgres: Postgres
    valkey: Valkey
    rabbit: RabbitMQ
    collector: Collector
    place: Path

    @contextmanager
    def database(self, name: str, *, migrated: bool = True) -> Generator[str]:
        """A connection string to an empty database, with our schema or without; it is gone after the block."""
        made, model = sql.Identifier(name), sql.Identifier(TEMPLATE if migrated else "template1")
        self._administer(sql.SQL("create database {} template {}").format(made, model))
        try:
            yield conninfo_of(self.postgres, name)
        finally:
            self._administer(sql.SQL("drop database {} with (force)").format(made))
            self._administer(sql.SQL("checkpoint"))  # so that no later case has to write its pages

    @contextmanager
    def installation(self, case: str, **more: str) -> Generator[Measured]:
        """Role processes-to-be on a database, keys and queues of their own; none of them outlives the block."""
        name = f"{case}_{uuid4().hex[:8]}"
        place = self.place / name
        place.mkdir()
        environment = self._environment(name) | more
        with self.database(name) as conninfo, an_installation(environment, place) as installation:
            yield Measured(installation, conninfo)

    def pids(self) -> dict[str, list[int]]:
        """The first processes of each service."""
        services = {"postgres": self.postgres, "rabbitmq": self.rabbit, "redis": self.valkey}
        return {name: list(service.pids) for name, service in services.items()}

    def count_statements(self, on: bool) -> None:
        """Let pg_stat_statements count, which costs PostgreSQL a few percent, or not."""
        track = "top" if on else "none"
        self._administer(sql.SQL("alter system set pg_stat_statements.track = {}").format(sql.Literal(track)))
        self._administer(sql.SQL("select pg_reload_conf()"))

    def _environment(self, name: str) -> dict[str, str]:
        """What each role is started with: every feature on. Of settings that change speed only what is usual."""
        postgres, valkey, rabbit = self.postgres.address, self.valkey.address, self.rabbit.address
        return {
            "DB_HOST": postgres.host,
            "DB_PORT": str(postgres.port),
            "DB_USER": postgres.user,
            "DB_PASSWORD": postgres.password,
            "DB_NAME": name,
            "DB_SSLMODE": "disable",
            "RABBITMQ_HOST": rabbit.host,
            "AMQP_PORT": str(rabbit.port),
            "RABBITMQ_USER": rabbit.user,
            "RABBITMQ_PASSWORD": rabbit.password,
            "REDIS_HOST": valkey.host,
            "REDIS_PORT": str(valkey.port),
            "REDIS_PASSWORD": valkey.password,
            "NAME_PREFIX": f"{name}.",
            "WEB_SERVER_HOST": "127.0.0.1",
            "WEB_SERVER_PORT": str(free_port("127.0.0.1", 18_000)),
            "GRPC_HOST": "127.0.0.1",
            "GRPC_PORT": str(free_port("127.0.0.1", 18_300)),
            "METRICS_HOST": "127.0.0.1",
            "FLEET_HOST": "127.0.0.1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.endpoint,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": TRACED_SHARE,
        }

    def _administer(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(conninfo_of(self.postgres, "postgres"), autocommit=True) as connection:
            connection.execute("set statement_timeout = 0")
            connection.execute(statement)


@dataclass(frozen=True)
class Measured:
    """An installation under measurement, and its database."""

    installation: Installation
    conninfo: str

    def count(self, query: str) -> int:
        """The one number that `query` answers."""
        with psycopg.connect(self.conninfo) as connection:
            row = connection.execute(query.encode()).fetchone()
        if row is None:
            raise AssertionError(f"no answer to {query}")
        return int(row[0])

    def register(self, prefix: str, count: int, digits: int) -> None:
        """Add the records of drivers, named by a prefix and a number from 0 on."""
        insert = "insert into drivers (id, name) select id, id from (select %s || lpad(n::text, %s, '0') as id"
        with psycopg.connect(self.conninfo) as connection:
            connection.execute(f"{insert} from generate_series(0, %s) as n) as new", [prefix, digits, count - 1])


@dataclass(frozen=True)
class Bench:
    """What every case gets. `smoke`: a second or so of each thing, for right or wrong, not for its speed."""

    servers: Servers
    repetitions: int
    smoke: bool

    @property
    def rounds(self) -> range:
        return range(1 if self.smoke else self.repetitions)

    def turns(self, variants: int) -> Iterator[tuple[int, int]]:
        """(round, variant) in alternating order: forwards, backwards, ..., so that none always comes first."""
        for number in self.rounds:
            order = range(variants) if number % 2 == 0 else reversed(range(variants))
            yield from ((number, variant) for variant in order)

    def say(self, text: str) -> None:
        """Progress messages."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def serving(place: Path, smoke: bool) -> Generator[Servers]:
    """All servers, started side by side."""
    postgres = Postgres(durable=True, max_connections=300, settings=SMOKE_SETTINGS if smoke else POSTGRES_SETTINGS)
    valkey, rabbit = Valkey(durable=True), RabbitMQ()
    with running(postgres, valkey, rabbit), collecting() as collector:
        apply_migrations(conninfo_of(postgres, TEMPLATE))
        make_logins(conninfo_of(postgres, TEMPLATE))
        servers = Servers(postgres, valkey, rabbit, collector, place)
        servers.count_statements(on=False)
        yield servers
