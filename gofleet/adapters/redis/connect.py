"""The one way we reach Redis or Valkey."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost

RETRIES = 1
"""A connection that died while it lay in the pool is replaced at once. Everything else is the caller's decision: its
message is delivered again, its order is announced again; a retry inside would only multiply theirs."""


def redis_client(
    host: str,
    port: int,
    *,
    password: str | None = None,
    db: int = 0,
    timeout_seconds: float = 0.3,
    max_connections: int = 50,
) -> Redis:
    """A client that connects when it is used; close it with `aclose()`.

    `timeout_seconds` bounds each step: waiting for one of `max_connections`, connecting, and every answer.
    The retry is safe for all our scripts: each of them gives the same result when it runs twice.
    """
    pool = BlockingConnectionPool(
        host=host,
        port=port,
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
    )
    return Redis.from_pool(pool)
