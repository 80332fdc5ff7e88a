"""A world to do harm to: private servers, the roles as processes, and a proxy on every edge between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import httpx
import psycopg

from gofleet.adapters.postgres.migrate import apply_migrations
from gofleet.embedded import RabbitAddress
from gofleet.embedded.resources import free_ports
from tests.chaos.bounds import BOUNDS
from tests.chaos.ledger import Ledger
from tests.chaos.member import Member, needs
from tests.chaos.proxy import HOST, Edge
from tests.chaos.servers import Servers
from tests.chaos.tap import Tap, tapping
from tests.databases import make_logins
from tests.journeys.installation import Installation, an_installation

SHAPE: tuple[str, ...] = ("fleet", "relay", "relay", "worker", "worker", "api", "api")
"""The roles of an ordinary world, in starting order."""
HTTP_SECONDS = 20.0


@dataclass
class World:
    """Everything a fault can reach. `prefix` is of every queue and key; `place` keeps logs, ledger and tap."""

    servers: Servers
    place: Path
    database: str
    rabbit: RabbitAddress
    prefix: str
    installation: Installation
    ledger: Ledger
    tap: Tap
    broker: str = "rabbitmq"
    members: dict[str, Member] = field(default_factory=dict[str, Member])
    broker_lost_data: bool = False

    @property
    def conninfo(self) -> str:
        return self.servers.conninfo(self.database)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[psycopg.AsyncConnection]:
        """To the database itself."""
        async with await psycopg.AsyncConnection.connect(self.conninfo, autocommit=True) as connection:
            yield connection

    def of(self, *roles: str) -> list[Member]:
        """The members that play one of `roles`."""
        return [member for member in self.members.values() if member.role in roles]

    def edges(self, server: str, *roles: str) -> list[Edge]:
        """The ways of `roles` (all, if none is named) to a server; `client` means the clients' ways to the api."""
        members = self.of(*roles) if roles else list(self.members.values())
        if server == "client":
            return [member.front for member in members if member.front]
        return [member.edges[server] for member in members if server in member.edges]

    def addresses(self, *, direct: bool = False) -> list[str]:
        """Of the APIs that clients are sent to; `direct` leads past their proxies."""
        ports = [
            member.port if direct or member.front is None else member.front.port
            for member in self.of("api")
            if member.in_rotation
        ]
        return [f"http://{HOST}:{port}" for port in ports]

    async def dump(self) -> None:
        """Put what the database says beside the logs: it is gone when the world is."""
        async with self.connection() as connection:
            for table in ("orders", "order_log", "outbox", "inbox", "parked"):
                rows = await (await connection.execute(f"select to_jsonb(t) from {table} t".encode())).fetchall()
                lines = [json.dumps(row[0]) + "\n" for row in rows]
                (self.place / f"{table}.jsonl").write_text("".join(lines))

    async def add(self, role: str, *, wait: bool = True, **own: str) -> Member:
        """One more process of `role`, with settings of its `own`."""
        name = f"{role}-{1 + sum(member.role == role for member in self.members.values())}"
        while name in self.members:
            name += "x"
        edges: dict[str, Edge] = {}
        for server in needs(role, self.broker):
            edges[server] = Edge(f"{name}>{server}", self._targets(server))
            await edges[server].allow()
        member = Member(name, role, self.installation, edges, own=own)
        if role in ("api", "fleet"):
            member.port = free_ports(1)[0]
        if role == "api":
            member.front = Edge(f"client>{name}", [member.port])
            await member.front.allow()
        self.members[name] = member
        member.launch()
        if wait:
            await member.ready()
        return member

    async def start(self, roles: Sequence[str] = SHAPE) -> None:
        """Start processes side by side; ready when this returns."""
        started = [await self.add(role, wait=False) for role in roles]
        await asyncio.gather(*(member.ready() for member in started))

    async def remove(self, member: Member) -> int | None:
        """Stop it in order and forget it; its exit code."""
        code = await member.stop()
        await member.close()
        self.members.pop(member.name, None)
        return code

    async def heal(self) -> None:
        """Every server up, every edge whole, every process awake."""
        for server in (self.servers.postgres, self.servers.redis, self.servers.rabbit):
            if not server.is_alive:
                await server.start()
        await asyncio.gather(*(member.heal() for member in self.members.values()))

    def _targets(self, server: str) -> Sequence[int] | Callable[[], Sequence[int]]:
        if server == "fleet":
            return lambda: [member.port for member in self.of("fleet")]
        chosen = {"postgres": self.servers.postgres, "redis": self.servers.redis, "rabbit": self.servers.rabbit}[server]
        return [chosen.address.port]


@asynccontextmanager
async def a_world(
    servers: Servers, place: Path, roles: Sequence[str] = SHAPE, broker: str = "rabbitmq", **bounds: str
) -> AsyncGenerator[World]:
    """A migrated database, a virtual host and the roles, all running; nothing of it outlives the block."""
    place.mkdir(parents=True, exist_ok=True)
    name = f"chaos_{uuid4().hex[:10]}"
    prefix = f"{name}."
    async with AsyncExitStack() as stack:
        await servers.administer(f"create database {name}")
        stack.push_async_callback(_forget, servers, name)
        await asyncio.to_thread(apply_migrations, servers.conninfo(name))
        await asyncio.to_thread(make_logins, servers.conninfo(name))
        rabbit = await stack.enter_async_context(_a_vhost(servers, name))
        tap = await stack.enter_async_context(tapping(rabbit.url, f"{prefix}orders", place / "tap.jsonl"))
        ledger = Ledger(place / "ledger.jsonl")
        ledger.path.touch()
        at = servers.postgres.address
        environment = {
            **BOUNDS,
            "NAME_PREFIX": prefix,
            "DB_USER": at.user,
            "DB_PASSWORD": at.password,
            "DB_NAME": name,
            "REDIS_PASSWORD": servers.redis.address.password,
            "RABBITMQ_USER": rabbit.user,
            "RABBITMQ_PASSWORD": rabbit.password,
            "RABBITMQ_VHOST": rabbit.vhost,
            "BROKER": broker,
            **bounds,
        }
        installation = stack.enter_context(an_installation(environment, place))
        world = World(servers, place, name, rabbit, prefix, installation, ledger, tap, broker)
        stack.push_async_callback(_close, world)
        await world.start(roles)
        yield world


async def _forget(servers: Servers, database: str) -> None:
    with suppress(psycopg.Error):  # a server that a fault took away has nothing to forget
        await servers.administer(f"drop database if exists {database} with (force)")


async def _close(world: World) -> None:
    for member in tuple(world.members.values()):
        await member.close()


@asynccontextmanager
async def _a_vhost(servers: Servers, name: str) -> AsyncGenerator[RabbitAddress]:
    at = servers.rabbit.address
    path = f"{at.management_url}/api/vhosts/{quote(name, safe='')}"
    async with httpx.AsyncClient(auth=(at.user, at.password), timeout=HTTP_SECONDS, trust_env=False) as http:
        (await http.put(path)).raise_for_status()
        try:
            yield replace(at, vhost=name)
        finally:
            with suppress(httpx.HTTPError):
                await http.delete(path)
