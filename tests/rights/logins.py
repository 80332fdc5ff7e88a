"""The roles' own users on the servers of the tests, with the rights that are committed for them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from secrets import token_urlsafe

import httpx

from gofleet.adapters.rabbit.definitions import definitions
from gofleet.adapters.rabbit.topology import Topology
from gofleet.embedded import RabbitAddress
from tests.services import HTTP_SECONDS

Logins = dict[str, dict[str, str]]
"""Role -> what its process is told by the environment, and the others are not."""


@contextmanager
def rabbit_logins(rabbit: RabbitAddress, topology: Topology) -> Generator[Logins]:
    """Imports exchange, queues and users, as an operator does; the users are gone after the block, the rest goes with
    the virtual host. `topology` has a prefix, by which users of several tests differ."""
    imported = definitions(topology, rabbit.vhost)
    logins = Logins()
    for user in imported["users"]:
        del user["password_hash"], user["hashing_algorithm"]
        user["password"] = token_urlsafe()
        logins[user["name"].removeprefix(topology.prefix)] = {
            "RABBITMQ_USER": user["name"],
            "RABBITMQ_PASSWORD": user["password"],
            "RABBITMQ_DECLARE": "off",
        }
    url, auth = f"{rabbit.management_url}/api", (rabbit.user, rabbit.password)
    with httpx.Client(auth=auth, timeout=HTTP_SECONDS, trust_env=False) as http:
        http.post(f"{url}/definitions", json=imported).raise_for_status()
        try:
            yield logins
        finally:
            for user in imported["users"]:
                http.delete(f"{url}/users/{user['name']}").raise_for_status()
