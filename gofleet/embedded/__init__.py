"""Embedded PostgreSQL, Valkey and RabbitMQ servers as child processes, for the demo and for tests."""

from gofleet.embedded.postgres import Postgres, PostgresAddress
from gofleet.embedded.rabbitmq import RabbitAddress, RabbitMQ
from gofleet.embedded.resources import EmbeddedError
from gofleet.embedded.server import Server, all_running, running
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
