"""`just load`: k6 against its own installation, four processes on private servers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from cyclopts import App, Parameter

from gofleet.adapters.postgres.migrate import apply_migrations
from gofleet.embedded import Postgres, RabbitMQ, Valkey, running
from gofleet.listening import free_port
from tests.databases import conninfo_of, make_logins
from tests.journeys.installation import Installation, an_installation
from tests.load.run import Outcome, k6, outage

app = App(name="just load", help=__doc__)
ROLES = ("fleet", "relay", "worker", "api")
DRAIN_SECONDS = 200.0
Rate = Annotated[int, Parameter(help="Orders per second at the peak.")]
Seconds = Annotated[int, Parameter(help="Duration of the ramp, or limit of the breaker scenario.")]
Customers = Annotated[int, Parameter(help="Concurrent customers.")]


@app.command
def ramp(*, rate: Rate = 50, seconds: Seconds = 60) -> int:
    """A rising rate of orders; exits with 99 if an objective is missed."""
    with _installed() as (installation, _), TemporaryDirectory() as place:
        installation.start(*ROLES)
        with k6(installation.api, "ramp", Path(place), RATE=rate, SECONDS=seconds) as load:
            return _report(load.ended(seconds + DRAIN_SECONDS))


@app.command
def breaker(*, customers: Customers = 10, seconds: Seconds = 300) -> int:
    """Kill and restart the fleet role: orders get drivers, manual dispatch, then drivers; else exits with 99."""
    with _installed() as (installation, conninfo), TemporaryDirectory() as place:
        fleet, *_ = installation.start(*ROLES)
        with k6(installation.api, "breaker", Path(place), CUSTOMERS=customers, SECONDS=seconds) as load:
            asyncio.run(outage(load, installation, fleet, conninfo, customers=customers))
            return _report(load.ended(seconds + DRAIN_SECONDS))


@contextmanager
def _installed() -> Generator[tuple[Installation, str]]:
    """The installation and the connection string of its database."""
    postgres, valkey, rabbit = Postgres(durable=True), Valkey(durable=True), RabbitMQ()
    with TemporaryDirectory() as directory, running(postgres, valkey, rabbit):
        db, amqp = postgres.address, rabbit.address
        conninfo = conninfo_of(postgres, db.database)
        apply_migrations(conninfo)
        make_logins(conninfo)
        environment = {
            "DB_HOST": db.host,
            "DB_PORT": str(db.port),
            "DB_USER": db.user,
            "DB_PASSWORD": db.password,
            "DB_NAME": db.database,
            "RABBITMQ_HOST": amqp.host,
            "AMQP_PORT": str(amqp.port),
            "RABBITMQ_USER": amqp.user,
            "RABBITMQ_PASSWORD": amqp.password,
            "REDIS_HOST": valkey.address.host,
            "REDIS_PORT": str(valkey.address.port),
            "REDIS_PASSWORD": valkey.address.password,
            "WEB_SERVER_PORT": str(free_port("127.0.0.1", 18_600)),
            "GRPC_PORT": str(free_port("127.0.0.1", 15_600)),
        }
        with an_installation(environment, Path(directory)) as installation:
            yield installation, conninfo


def _report(outcome: Outcome) -> int:
    print(outcome.output)  # noqa: T201
    return outcome.code


if __name__ == "__main__":
    sys.exit(app())
