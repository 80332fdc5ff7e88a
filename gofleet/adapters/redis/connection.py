"""Connections to Redis or Valkey: the client, one batch of commands on the wire, and the translation of errors.

This is the only module that uses undocumented parts of redis-py and hiredis, checked by
`tests/ports/test_redis_pipelines.py` and `tests/ports/test_redis_unavailable.py` on real servers:
`Connection._connection_arguments` (replaced), the pool's `get_connection()`, `release()` and
`update_active_connections_for_reconnect()`, and on a connection `retry.call_with_retry`, `send_packed_command`,
`read_response(timeout=)`, `socket_timeout` and `disconnect`;
`hiredis.pack_command`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from math import inf
from ssl import SSLContext
from typing import Any, cast

import hiredis
from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as ConnectionLost

from gofleet.adapters.redis.names import ready_key
from gofleet.adapters.tls import is_certificate_refused
from gofleet.domain.errors import LoginRefused, Misconfigured, Unavailable
from gofleet.telemetry.tracing import client_span

Command = tuple[str | bytes | float, ...]
RETRIES = 1
"""A connection that died in the pool is replaced at once. Everything else is retried by the caller (a message is
redelivered, an order re-published); a retry here would multiply theirs."""

NOT_PRIMARY_ERRORS = (ReadOnlyError, MasterDownError, ClusterDownError, MovedError)
NOT_PRIMARY_CODES = ("NOREPLICAS", "UNBLOCKED")
"""redis-py has no class for these: too few replicas, as for a primary that is cut off, and a read that was waiting
when its server became a replica."""
READY_MS = 1000
REJECTIONS = ("DENIED", "DB index is out of range", "invalid DB index")
"""Beginnings of errors without a class of their own: protected mode, and a database that does not exist."""


def redis_client(
    host: str,
    port: int,
    *,
    user: str = "",
    password: str = "",
    db: int = 0,
    tls: SSLContext | None = None,
    timeout_seconds: float = 0.3,
    max_connections: int = 50,
) -> Redis:
    """A client that connects when it is used, encrypted by `tls`; close it with `aclose()`.

    `timeout_seconds` bounds each step: waiting for one of `max_connections`, connecting, and every response.
    The retry is safe for all our scripts: each of them gives the same result when it runs twice.
    """
    encrypted: dict[str, Any] = {"connection_class": _EncryptedConnection, "tls": tls} if tls else {}
    pool = BlockingConnectionPool(
        host=host,
        port=port,
        username=user or None,
        password=password or None,
        db=db,
        timeout=timeout_seconds,
        max_connections=max_connections,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        # Explicit, because `Redis()` would retry ten times and `from_url()` never. Not after a timeout: the server may
        # still be executing the command.
        retry=Retry(NoBackoff(), RETRIES, supported_errors=(ConnectionLost,)),
        protocol=2,
        decode_responses=True,
        driver_info=None,  # Redis 7.0 does not know CLIENT SETINFO, sent twice for each connection
        **encrypted,
    )
    return Redis.from_pool(pool)


async def execute_batch(redis: Redis, commands: Sequence[Command]) -> list[object]:
    """Write all commands at once and read their responses, in order; an error response is a `ResponseError` in the
    list. Raises RedisError or OSError when the connection fails.

    redis-py's pipeline examines every command and response more often, and takes twice as long.
    """
    pool = cast("Any", redis.connection_pool)  # its own types are incomplete
    packed = b"".join(map(_pack, commands))
    connection = await pool.get_connection()
    try:
        exchange = partial(_exchange, connection, packed, len(commands))
        responses = await connection.retry.call_with_retry(exchange, partial(_disconnect, connection))
        for response in responses:
            if isinstance(response, ResponseError):
                await renew_connections(redis, response)
        return responses
    finally:
        await pool.release(connection)


async def renew_connections(redis: Redis, error: Exception) -> None:
    """Close all connections, those in use after their present command, if `error` says that this server is not, or no
    longer, the primary: after a failover the address leads to another server, and nothing else would close them."""
    if isinstance(error, NOT_PRIMARY_ERRORS) or any(code in str(error) for code in NOT_PRIMARY_CODES):
        pool = cast("Any", redis.connection_pool)
        with suppress(RedisError, OSError):  # from closing
            await pool.update_active_connections_for_reconnect()
            await pool.disconnect(inuse_connections=False)


async def check_redis_login(redis: Redis) -> None:
    """`Misconfigured` if Redis, or we, refuse the connection, or Redis our login; else `Unavailable` without an answer.
    A user need not have the permission to call PING."""
    try:
        await cast("Any", redis).ping()
    except NoPermissionError:
        pass
    except (RedisError, OSError) as error:
        if isinstance(error, AuthenticationError) or str(error).removeprefix("ERR ").startswith(REJECTIONS):
            raise LoginRefused("redis", str(error)) from error
        kind = Misconfigured if is_certificate_refused(error) else Unavailable
        raise kind("redis", str(error) or type(error).__name__) from error


async def check_redis_writes(redis: Redis, prefix: str) -> None:
    """`Unavailable` unless Redis answers and accepts writes: a replica also answers PING.

    It writes a key that expires. A user whose ACL file is of an earlier release may not: then only PING is checked.
    """
    with translate_redis_errors():
        (response,) = await execute_batch(redis, [("SET", ready_key(prefix), "", "PX", READY_MS)])
        if isinstance(response, NoPermissionError):
            (response,) = await execute_batch(redis, [("PING",)])
        if isinstance(response, RedisError):
            raise response


@contextmanager
def redis_span(command: str, target: str = "", **attributes: str) -> Generator[None]:
    """A client span around a command, without its values, which may be positions; errors become `Unavailable`."""
    name = f"{command} {target}".rstrip()
    attributes |= {"db.system.name": "redis", "db.operation.name": command, "db.query.summary": name}
    with translate_redis_errors(), client_span(name, **attributes):
        yield


@contextmanager
def translate_redis_errors() -> Generator[None]:
    """Raise `Unavailable` for every error that Redis or the connection to it reports."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise to_unavailable(error) from error


def to_unavailable(error: Exception) -> Unavailable:
    return Unavailable("redis", str(error) or type(error).__name__)


class _EncryptedConnection(Connection):
    """Trusts exactly what `tls` trusts; redis-py's own class would also trust this machine's authorities."""

    def __init__(self, *, tls: SSLContext, **arguments: Any) -> None:
        self._tls = tls
        cast("Any", super()).__init__(**arguments)

    def _connection_arguments(self) -> Any:
        return {**cast("Any", super())._connection_arguments(), "ssl": self._tls}


# hiredis's stubs declare a tuple of one element.
_pack = cast("Callable[[Command], bytes]", cast("Any", hiredis).pack_command)


async def _exchange(connection: Any, packed: bytes, count: int) -> list[object]:
    # An interruption while reading closes the connection, so that no caller reads the response to another's command.
    await connection.send_packed_command([packed])
    responses = list[object]()
    async with asyncio.timeout(connection.socket_timeout):
        for _ in range(count):
            try:
                responses.append(await connection.read_response(timeout=inf))  # bounded by the timeout around it
            except ResponseError as error:
                responses.append(error)
    return responses


async def _disconnect(connection: Any, _: Exception) -> None:
    await connection.disconnect()
