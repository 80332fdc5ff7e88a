"""Private servers as child processes, for the demo and for tests: no service to install, nothing left behind."""

from gofleet.embedded.errors import EmbeddedError
from gofleet.embedded.postgres import Postgres, PostgresAddress
from gofleet.embedded.rabbitmq import RabbitAddress, RabbitMQ
from gofleet.embedded.running import all_running, running
from gofleet.embedded.server import Server
from gofleet.embedded.valkey import Valkey, ValkeyAddress

__all__ = [
    "EmbeddedError",
    "Postgres",
    "PostgresAddress",
    "RabbitAddress",
    "RabbitMQ",
    "Server",
    "Valkey",
    "ValkeyAddress",
    "all_running",
    "running",
]
