"""What every test may ask for."""

from __future__ import annotations

import signal

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

# A shell starts what a script sends into the background with SIGINT ignored, and every process that a test starts would
# inherit that: none of them could be ended as by Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
