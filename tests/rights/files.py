"""What is committed under config/ of who may do what at RabbitMQ and Redis, as the code makes it today."""

from __future__ import annotations

import json
from pathlib import Path

from gofleet.adapters.rabbit.definitions import definitions
from gofleet.parts import acl, topology
from gofleet.settings import load

ROOT = Path(__file__).resolve().parents[2]


def made() -> dict[str, str]:
    """Text by path, for the settings that compose.yaml leaves as they are."""
    defaults = load({}, dotenv=None)
    return {
        "config/rabbitmq/definitions.json": json.dumps(definitions(topology(defaults)), indent=2) + "\n",
        "config/valkey/users.acl": acl(defaults),
    }


def committed(path: str) -> str:
    """As it is in the working tree; empty if it is not there."""
    file = ROOT / path
    return file.read_text(encoding="utf-8") if file.is_file() else ""
