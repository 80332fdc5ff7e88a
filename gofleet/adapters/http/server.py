"""Granian in our own event loop, with a graceful shutdown that finishes the requests in flight.

This is the only module that uses undocumented parts of Granian, checked by the two tests of clients that do not read in
`tests/roles/test_order_stream.py`: `Server._init_shared_socket`, and the `_ssp` and `_shd` that it sets.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server
from loguru import logger

from gofleet.adapters.http.asgi import ASGIApp, Receive, Scope, Send
from gofleet.waiting import cancel_and_wait, first_of

KEEP_ALIVE_SECONDS = 75.0
"""Longer than usual clients and proxies keep idle connections (httpx 5 s, nginx and AWS 60 s), so that they close them
first: a request on a connection that the server closes at that moment receives no response."""
HEADER_BYTES_MAX = 32 * 1024
CONNECTIONS_MAX = 1024
UNREAD_SECONDS = 10.0
SEND_BUFFER = 128 * 1024
OTHER_FILES_MAX = 256
"""Open files of the process besides client connections."""
START_SECONDS = 10.0
CANCEL_SECONDS = 1.0
"""Time for cancelled requests to end."""
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  where to connect to a wildcard address


class PortInUse(OSError):
    """Another process listens on the port."""


@dataclass(frozen=True)
class Listening:
    """Address of the running server. `ended` finishes when it stops serving, for whatever reason."""

    host: str
    port: int
    ended: asyncio.Task[None]

    @property
    def url(self) -> str:
        host = LOOPBACK.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


class _Bounds(NamedTuple):
    """Limits per connection and for all connections together."""

    http1: HTTP1Settings
    connections: int
    unread_ms: int
    send_buffer: int


@asynccontextmanager
async def serving(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    grace_seconds: float = 10.0,
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
    header_bytes_max: int = HEADER_BYTES_MAX,
    connections_max: int = CONNECTIONS_MAX,
    unread_seconds: float = UNREAD_SECONDS,
    send_buffer_bytes: int = SEND_BUFFER,
) -> AsyncGenerator[Listening]:
    """Serve `app` (without ASGI lifespan) over HTTP/1.1 while the block runs; port 0 = any free one.

    The block starts when the port accepts connections; `PortInUse` if another process has it. At its end no further
    connection is accepted, requests in flight get `grace_seconds` to finish, and the rest is cancelled.
    A connection on which no request is complete for `keep_alive_seconds` is closed: an idle one, or one that sends its
    header slowly, which costs no more than an idle one.
    At most `connections` are open at once, idle ones included; more wait to be accepted. For each the system keeps up
    to about `send_buffer` bytes (Linux: twice that) that the client has not taken; one that takes nothing of them for
    `unread_seconds` is cut off (Linux).
    """
    _raise_file_limit(connections_max)
    family, address = await _resolved(host)
    with _held_port(family, address, port) as free:
        # The server's only timer of a connection runs from the last response to the end of the next header.
        http1 = HTTP1Settings(header_read_timeout=int(keep_alive_seconds * 1000), max_buffer_size=header_bytes_max)
        bounds = _Bounds(http1, connections_max, int(unread_seconds * 1000), send_buffer_bytes)
        async with _served(app, address, free, bounds, grace_seconds) as listening:
            yield listening


class _BoundedServer(Server):
    """Granian server with limits on unread responses.

    Granian waits forever for a client that does not read, even at shutdown, and the system would buffer megabytes for
    it. Connections inherit the options of the listening socket.
    """

    def __init__(self, bounds: _Bounds, app: ASGIApp, **options: Any) -> None:
        super().__init__(app, **options)
        self._bounds = bounds

    def _init_shared_socket(self) -> None:
        super()._init_shared_socket()  # pyright: ignore[reportUnknownMemberType]
        if self._ssp is not None:  # on Linux Granian leaves listening to its workers; here there is one
            self._shd, self._ssp = self._ssp.build(), None
        with socket.socket(fileno=os.dup(self._shd.get_fd())) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._bounds.send_buffer)
            if sys.platform == "linux":
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self._bounds.unread_ms)


@asynccontextmanager
async def _served(
    app: ASGIApp, address: str, port: int, bounds: _Bounds, grace_seconds: float
) -> AsyncGenerator[Listening]:
    requests = _Requests(app)
    server = _BoundedServer(
        bounds,
        requests,
        address=address,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        http1_settings=bounds.http1,
        # Granian counts connections, not requests: at its default, 128 idle connections would block all others.
        backlog=bounds.connections,
        backpressure=bounds.connections,
        # Errors only, through `logging`: at every start Granian warns that embedding is experimental.
        log_level=LogLevels.error,
        log_dictconfig={"handlers": {}, "loggers": {"_granian": {"propagate": True}}},
    )
    serve: asyncio.Task[None] = asyncio.create_task(server.serve(), name=f"http {address}:{port}")
    try:
        await _accepting(address, port, serve)
        yield Listening(address, port, serve)
    finally:
        server.stop()
        await _finish(serve, requests, grace_seconds)


def _raise_file_limit(connections: int) -> None:
    """Raise the limit of open files as far as the system allows; the usual one is 1024."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415  Windows has none

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES_MAX
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class _Requests:
    """The application and the tasks of the requests in flight."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._tasks: set[asyncio.Task[object]] = set()
        self._cancelling = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  a running coroutine belongs to a task
        self._tasks.add(task)
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if not self._cancelling:
                raise
        finally:
            self._tasks.discard(task)

    def cancel(self) -> int:
        """Cancel the requests in flight; returns their number."""
        self._cancelling = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        return len(tasks)


async def _resolved(host: str) -> tuple[int, str]:
    """The first address of `host`: Granian accepts only numeric addresses."""
    addresses = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return addresses[0][0], str(addresses[0][4][0])


@contextmanager
def _held_port(family: int, address: str, port: int) -> Generator[int]:
    """`port` (0 = any free one), reserved for the block; `PortInUse` if another process has it.

    Granian does not detect it: it shares a port with any other Granian of the same user (SO_REUSEPORT), and each
    would get a part of the requests. A check of the port is not enough for two processes that start at the same
    moment, so the holder of an abstract socket name has the port. Linux frees the name when its process ends.
    """
    port = _free_port(family, address, port)
    if sys.platform != "linux":
        yield port
        return
    with socket.socket(socket.AF_UNIX) as name:
        try:
            name.bind(f"\0gofleet http {address} {port}")
        except OSError as error:
            why = f"cannot listen on {address} port {port}: another process is starting there"
            raise PortInUse(errno.EADDRINUSE, why) from error
        yield port


def _free_port(family: int, address: str, port: int) -> int:
    """`port` (0 = any), if no process listens there."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name == "posix":  # ignores lingering connections of the last run; not needed on Windows
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            kind = PortInUse if error.errno == errno.EADDRINUSE else OSError
            raise kind(
                error.errno, f"cannot listen on {address} port {port}: {os.strerror(error.errno or 0)}"
            ) from error
        return int(probe.getsockname()[1])


async def _accepting(address: str, port: int, serve: asyncio.Task[None]) -> None:
    """Wait until a connection is accepted; Granian does not report its start."""
    async with asyncio.timeout(START_SECONDS):
        while not serve.done():
            try:
                _, writer = await asyncio.open_connection(LOOPBACK.get(address, address), port)
            except OSError:
                await asyncio.sleep(0.005)
                continue
            writer.close()
            return
    failure = serve.exception()
    raise RuntimeError(f"the HTTP server on {address} port {port} did not start") from failure


async def _finish(serve: asyncio.Task[None], requests: _Requests, grace_seconds: float) -> None:
    ended = await first_of(serve, timeout=grace_seconds)
    if not ended:
        if cancelled := requests.cancel():
            logger.bind(requests=cancelled).warning("grace period over, requests cancelled")
        ended = await first_of(serve, timeout=CANCEL_SECONDS)
    if not ended:
        await cancel_and_wait(serve)  # the last resort: Granian logs an error then
    elif failure := serve.exception():
        raise RuntimeError("the HTTP server failed") from failure
