"""The committed files of permissions at RabbitMQ and Redis, and those that the code generates."""

from __future__ import annotations

import json
from pathlib import Path

from gofleet.adapters.rabbit.definitions import definitions
from gofleet.adapters.rabbit.topology import topology_of
from gofleet.adapters.redis.acl import acl_of
from gofleet.settings import load

ROOT = Path(__file__).resolve().parents[2]


def made() -> dict[str, str]:
    """Generated text by path, with the default settings."""
    defaults = load({}, dotenv=None)
    return {
        "config/rabbitmq/definitions.json": json.dumps(definitions(topology_of(defaults)), indent=2) + "\n",
        "config/valkey/users.acl": acl_of(defaults),
    }


def committed(path: str) -> str:
    """The file in the working tree; empty if it does not exist."""
    file = ROOT / path
    return file.read_text(encoding="utf-8") if file.is_file() else ""
