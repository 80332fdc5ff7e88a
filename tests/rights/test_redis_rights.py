"""What the roles' users may and may not do at Valkey and at Redis, started as compose.yaml starts it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from gofleet.adapters.redis.acl import SCRIPTS
from gofleet.adapters.redis.buckets import RedisBuckets
from gofleet.adapters.redis.connection import redis_client
from gofleet.adapters.redis.leases import RedisLeases
from gofleet.adapters.redis.positions import RedisPositions
from gofleet.domain.driver import AreaQuery, Driver, Position
from gofleet.domain.errors import Unavailable
from gofleet.domain.place import BoundingBox, Place
from gofleet.guards.limiter import Rate
from gofleet.ports import LeaseState, Search
from tests.makers import on_the_map
from tests.rights.files import ROOT
from tests.rights.valkeys import PASSWORDS, START, ContainerValkey, start

KEYS = "gofleet:"
ROLES = ("api", "worker", "fleet")
every_role = pytest.mark.parametrize("role", ROLES)
HERE = Place(-23.55, -46.63)


@dataclass
class Clients:
    """Clients of the server with the users of roles and of the operators."""

    port: int
    stack: AsyncExitStack

    async def client(self, user: str, password: str) -> Redis:
        opened = redis_client("127.0.0.1", self.port, user=user, password=password, timeout_seconds=5)
        return await self.stack.enter_async_context(opened)

    async def of(self, role: str) -> Redis:
        return await self.client(role, PASSWORDS[f"{role.upper()}_PASSWORD"])

    async def admin(self) -> Any:
        return await self.client("default", PASSWORDS["ADMIN_PASSWORD"])


@pytest.fixture
async def clients(container_valkey: ContainerValkey) -> AsyncGenerator[Clients]:
    async with AsyncExitStack() as stack:
        yield Clients(container_valkey.address.port, stack)


async def refused(redis: Redis, *words: str | int) -> bool:
    try:
        await cast("Any", redis).execute_command(*words)
    except NoPermissionError:
        return True
    return False


@asynccontextmanager
async def nothing_refused(clients: Clients) -> AsyncGenerator[None]:
    """Assert that Redis refused no command within the block, by its own counter: clients may ignore errors."""
    admin = await clients.admin()
    await admin.execute_command("ACL", "LOG", "RESET")
    yield
    assert await admin.execute_command("ACL", "LOG") == []


async def test_the_api_may_count_requests(clients: Clients) -> None:
    async with nothing_refused(clients):
        taken = await RedisBuckets(await clients.of("api"), prefix=KEYS).take("ana", Rate(1, 5), 2)

    assert taken.tokens == 2


async def test_a_worker_may_use_leases(clients: Clients) -> None:
    async with nothing_refused(clients):
        redis = await clients.of("worker")
        leases = RedisLeases(redis, prefix=KEYS)
        await cast("Any", redis).ping()
        assert (await leases.acquire("event", "mine")).state is LeaseState.ACQUIRED
        assert (await leases.acquire("event", "other")).state is LeaseState.BUSY
        await leases.release("event", "mine")
        await leases.acquire("event", "lost")
        await leases.take_over("event", "mine", await leases.acquire("event", "mine"))
        await leases.finish("event", "mine")
        assert (await leases.acquire("event", "other")).state is LeaseState.DONE


async def test_the_fleet_may_use_positions(clients: Clients) -> None:
    async with nothing_refused(clients):
        redis = await clients.of("fleet")
        positions = RedisPositions(redis, prefix=KEYS, stale_seconds=60, claim_ms=1000)
        await cast("Any", redis).ping()
        await positions.register(Driver("maria", "Maria"))
        await on_the_map(positions, [Position("maria", HERE, datetime.now(UTC))])
        await on_the_map(positions, [Position(f"d-{number}", HERE, datetime.now(UTC)) for number in range(9)])
        await positions.update_positions([Position("nobody", HERE, datetime.now(UTC))])
        await positions.unregister("nobody", None)
        assert sum([len(page) async for page in positions.registrations(10)]) == 11
        [found, *_] = await positions.claim_nearest(Search("o-1", HERE, 5, 5))
        await positions.occupy(found.driver_id, "o-1", 2)
        assert len(await positions.holdings()) == 1
        assert len(await positions.nearest(HERE, 1, 20)) == 10
        assert len((await positions.within(AreaQuery(BoundingBox(-47, -24, -46, -23), limit=20))).sightings) == 10
        assert len(await positions.locate(["maria"])) == 1
        await positions.free(found.driver_id, "o-1", 3)
        assert not await positions.holdings()


FOREIGN = {
    "api": ("lease:x", "driver:x", "drivers:free", "busy:x", "stream:orders.created"),
    "worker": ("bucket:x", "driver:x", "drivers:free", "busy:x", "claim:x", "stream:orders.created"),
    "fleet": ("bucket:x", "lease:x", "stream:fleet.drivers"),
}


@every_role
async def test_a_role_may_not_access_keys_of_others(clients: Clients, role: str) -> None:
    redis = await clients.of(role)

    for key in (*(KEYS + name for name in FOREIGN[role]), "gofleet", "other:gofleet:x", "x"):
        assert await refused(redis, "GET", key)
        assert await refused(redis, "SET", key, 1)


async def test_a_worker_may_not_update_positions_by_a_script(clients: Clients) -> None:
    positions = RedisPositions(await clients.of("worker"), prefix=KEYS, stale_seconds=60, claim_ms=1000)

    with pytest.raises(Unavailable, match="permission"):
        await positions.update_positions([Position("maria", HERE, datetime.now(UTC))])


@every_role
@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "FLUSHDB",
        "KEYS *",
        "CONFIG GET *",
        "CONFIG SET maxmemory 1",
        "ACL WHOAMI",
        "ACL LIST",
        "CLIENT LIST",
        "SHUTDOWN",
        "REPLICAOF 127.0.0.1 1",
        "MONITOR",
        "INFO",
        "EVAL return(1) 0",
        "SCRIPT FLUSH",
        "FUNCTION LIST",
        "PUBLISH topic x",
        "SUBSCRIBE topic",
        "SELECT 1",
        "SAVE",
    ],
)
async def test_a_role_may_not_call_other_commands(clients: Clients, role: str, command: str) -> None:
    assert await refused(await clients.of(role), *command.split())


@every_role
async def test_a_wrong_password_is_rejected(clients: Clients, role: str) -> None:
    for password in (role, "x", PASSWORDS["ADMIN_PASSWORD"]):
        with pytest.raises(AuthenticationError):
            await cast("Any", await clients.client(role, password)).ping()


async def test_an_anonymous_connection_may_do_nothing(clients: Clients) -> None:
    with pytest.raises(AuthenticationError, match="Authentication required"):
        await cast("Any", await clients.client("", "")).ping()


async def test_operators_may_do_everything(clients: Clients) -> None:
    admin = await clients.admin()

    assert await admin.config_get("maxmemory")
    assert set(await admin.acl_users()) == {"default", *ROLES}


def test_every_script_belongs_to_a_role() -> None:
    folder = ROOT / "gofleet/adapters/redis/lua"
    given = [name for names in SCRIPTS.values() for name in names]

    assert sorted(given) == sorted(file.stem for file in folder.glob("*.lua"))


@pytest.mark.parametrize("name", PASSWORDS)
def test_without_a_password_it_does_not_start(name: str, tmp_path: Path) -> None:
    for given in ({}, {name: ""}):
        lacking = {one: "x" for one in PASSWORDS if one != name} | given
        done = start(tmp_path / "users.acl", lacking, "echo", "started")

        assert (done.returncode, done.stdout) == (2, "")
        assert f"{name} is missing" in done.stderr


def test_a_user_without_a_password_cannot_log_in_to_redis(tmp_path: Path) -> None:
    (tmp_path / "users.acl").write_text("user stranger on ~* +@all\n")
    script = Path(shutil.copy(START, tmp_path))

    done = start(tmp_path / "run" / "users.acl", PASSWORDS, "echo", "started", script=script)

    assert (done.returncode, done.stdout) == (2, "")
    assert "stranger" in done.stderr
