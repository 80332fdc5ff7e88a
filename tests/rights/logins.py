"""The roles' users on the tests' servers, with the committed permissions."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from secrets import token_urlsafe

import httpx
from redis import Redis

from gofleet.adapters.rabbit.definitions import definitions
from gofleet.adapters.rabbit.topology import Topology
from gofleet.adapters.redis.acl import acl_users
from gofleet.embedded import RabbitAddress, ValkeyAddress
from tests.services import HTTP_SECONDS

Logins = dict[str, dict[str, str]]
"""Environment variables of each role's process only, by role."""


@contextmanager
def rabbit_logins(rabbit: RabbitAddress, topology: Topology) -> Generator[Logins]:
    """Import exchange, queues and users as an operator does; the users are deleted after the block, the rest with
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


@contextmanager
def redis_logins(valkey: ValkeyAddress, prefix: str, *, streams: bool = False) -> Generator[Logins]:
    """The users of `NAME_PREFIX=prefix` on a shared server, deleted after the block."""
    users = acl_users(prefix, f"{prefix}gofleet:", streams=streams)
    logins = Logins()
    with Redis(valkey.host, valkey.port, password=valkey.password) as admin:
        for one in users:
            password = token_urlsafe()
            _, name, *rules = one.line().split()
            admin.execute_command("ACL", "SETUSER", name, "reset", *rules, f">{password}")  # pyright: ignore[reportUnknownMemberType]
            logins[name.removeprefix(prefix)] = {"REDIS_USER": name, "REDIS_PASSWORD": password}
        try:
            yield logins
        finally:
            admin.execute_command("ACL", "DELUSER", *(one.user for one in users))  # pyright: ignore[reportUnknownMemberType]


def merged(*all_logins: Logins) -> Logins:
    """All variables of each role."""
    roles = {role for logins in all_logins for role in logins}
    return {role: {name: one for each in all_logins for name, one in each.get(role, {}).items()} for role in roles}
