"""What every test may ask for."""

from __future__ import annotations

from tests.databases import clean_database, migrated_template
from tests.services import postgres_server, pytest_collection_finish, rabbit_server, redis_server, valkey_server

__all__ = [
    "clean_database",
    "migrated_template",
    "postgres_server",
    "pytest_collection_finish",
    "rabbit_server",
    "redis_server",
    "valkey_server",
]
