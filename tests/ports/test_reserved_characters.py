"""Names and passwords with characters that URLs reserve, at each real server, through each client that we use."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, cast
from urllib.parse import quote
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg import sql
from redis.asyncio import Redis

from gofleet import parts
from gofleet.adapters.rabbit.connection import RabbitServer
from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.adapters.redis.connection import check_redis_login
from gofleet.adapters.redis.stream_publisher import StreamsPublisher
from gofleet.embedded import Postgres, RabbitMQ, Valkey
from gofleet.settings import SettingsError, load
from tests.databases import conninfo_of

RESERVED = "p@s:s/w?o#r[d]%2F%41%zz+&=;,'\"\\ é北"
VHOSTS = ["/", "a/b", "/a", "a//b", "a b", "é北", "a%20b", "a%b", "a+b", "a?b#c&d=e", "a:b@c"]


@pytest.fixture
def management(rabbit_server: RabbitMQ) -> Generator[httpx.Client]:
    at = rabbit_server.address
    with httpx.Client(
        base_url=f"{at.management_url}/api", auth=(at.user, at.password), timeout=30, trust_env=False
    ) as http:
        yield http


@contextmanager
def existing(management: httpx.Client, path: str, body: object = None) -> Generator[None]:
    """That resource during the block."""
    management.put(path, json=body).raise_for_status()
    try:
        yield
    finally:
        management.delete(path).raise_for_status()


async def uses(server: RabbitServer) -> None:
    """Both ways in which a process connects: for inspection, and to publish."""
    await server.check_login()
    async with RabbitPublisher(server) as publisher:
        await publisher.check()


def exchanges(management: httpx.Client, vhost: str) -> set[str]:
    response = management.get(f"/exchanges/{quote(vhost, safe='')}").raise_for_status()
    return {exchange["name"] for exchange in response.json()}


@pytest.mark.parametrize("vhost", VHOSTS)
async def test_a_virtual_host_is_used_by_its_name(
    rabbit_server: RabbitMQ, management: httpx.Client, vhost: str
) -> None:
    at = rabbit_server.address
    server = RabbitServer(at.host, at.port, at.user, at.password, vhost)
    if vhost == "/":
        await uses(server)
        return
    with existing(management, f"/vhosts/{quote(vhost, safe='')}"):
        await uses(server)
        assert "orders" in exchanges(management, vhost)


def test_a_virtual_host_that_the_library_cannot_name_is_refused() -> None:
    with pytest.raises(SettingsError, match="RABBITMQ_VHOST is wrong") as error:
        load({"RABBITMQ_VHOST": "a%2Fb"}, dotenv=None)

    assert "'a%2Fb'" in error.value.why
    assert load({"RABBITMQ_VHOST": "a/b"}, dotenv=None).broker.vhost == "a/b"


async def test_rabbitmqs_user_and_password(rabbit_server: RabbitMQ, management: httpx.Client) -> None:
    at, user = rabbit_server.address, f"{uuid4().hex}@:/?#%2F é"
    path = quote(user, safe="")
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    with (
        existing(management, f"/users/{path}", {"password": RESERVED, "tags": ""}),
        existing(management, f"/permissions/%2F/{path}", everything),
    ):
        await uses(RabbitServer(at.host, at.port, user, RESERVED))


@asynccontextmanager
async def a_redis_user(valkey: Valkey) -> AsyncGenerator[str]:
    at, user = valkey.address, f"{uuid4().hex}@:/?#%2Fé"
    async with cast("Any", Redis(host=at.host, port=at.port, password=at.password)) as redis:
        await redis.execute_command("ACL", "SETUSER", user, "on", f">{RESERVED}", "~*", "&*", "+@all")
        try:
            yield user
        finally:
            await redis.execute_command("ACL", "DELUSER", user)


async def test_the_user_and_password_of_redis(valkey_server: Valkey) -> None:
    at = valkey_server.address
    async with a_redis_user(valkey_server) as user:
        given = {"REDIS_HOST": at.host, "REDIS_PORT": str(at.port), "REDIS_USER": user, "REDIS_PASSWORD": RESERVED}
        settings = load(given, dotenv=None)
        async with parts.a_redis(settings, 5) as redis:
            await check_redis_login(redis)
        async with StreamsPublisher(parts.redis_url(settings)) as publisher:
            await publisher.check()


def test_the_user_the_password_and_the_database_of_postgresql(postgres_server: Postgres) -> None:
    name = f"{uuid4().hex}@:/?#%2F é\"'\\"
    with psycopg.connect(conninfo_of(postgres_server, "postgres"), autocommit=True) as connection:
        create = sql.SQL("create role {} login password {}")
        connection.execute(create.format(sql.Identifier(name), sql.Literal(RESERVED)))
        connection.execute(sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(name)))
        try:
            at = postgres_server.address
            given = {"DB_HOST": at.host, "DB_PORT": str(at.port), "DB_USER": name, "DB_NAME": name}
            settings = load({**given, "DB_PASSWORD": RESERVED}, dotenv=None)
            with psycopg.connect(parts.conninfo(settings)) as session:
                assert session.execute("select current_user, current_database()").fetchone() == (name, name)
        finally:
            connection.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))
            connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def test_an_ipv6_address_is_bracketed_in_urls() -> None:
    settings = load({"REDIS_HOST": "::1", "RABBITMQ_HOST": "::1", "RABBITMQ_PASSWORD": RESERVED}, dotenv=None)

    assert parts.redis_url(settings) == "redis://[::1]:6379/0"
    assert "@[::1]:5672/" in parts.rabbit_server(settings).url
    assert "@there:" in replace(parts.rabbit_server(settings), host="there").url
