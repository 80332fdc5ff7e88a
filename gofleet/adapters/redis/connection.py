"""The one way we reach Redis or Valkey."""

from __future__ import annotations

from ssl import SSLContext
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost

RETRIES = 1
"""A connection that died while it lay in the pool is replaced at once. Everything else is the caller's decision: its
message is delivered again, its order is announced again; a retry inside would only multiply theirs."""


class Encrypted(Connection):
    """redis-py's own would trust whom this machine trusts besides whom `tls` does."""

    def __init__(self, *, tls: SSLContext, **arguments: Any) -> None:
        self._tls = tls
        cast("Any", super()).__init__(**arguments)

    def _connection_arguments(self) -> Any:
        return {**cast("Any", super())._connection_arguments(), "ssl": self._tls}


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

    `timeout_seconds` bounds each step: waiting for one of `max_connections`, connecting, and every answer.
    The retry is safe for all our scripts: each of them gives the same result when it runs twice.
    """
    encrypted: dict[str, Any] = {"connection_class": Encrypted, "tls": tls} if tls else {}
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
        # `Redis()` would retry ten times and `from_url()` never, so it is said here. Not after a timeout: the
        # server may be at work on it still.
        retry=Retry(NoBackoff(), RETRIES, supported_errors=(ConnectionLost,)),
        protocol=2,
        decode_responses=True,
        driver_info=None,  # its two CLIENT SETINFO a connection are unknown to Redis 7.0
        **encrypted,
    )
    return Redis.from_pool(pool)
