"""Several servers for the length of a block: started side by side, stopped side by side."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from gofleet.embedded.server import Server
from gofleet.embedded.steps import Steps, drive, drive_async

AnyServer = Server[Any]


@contextmanager
def running(*servers: AnyServer) -> Generator[None]:
    """Keep `servers` running for the block, without an event loop."""
    try:
        drive(*(server.starting() for server in servers))
        yield
    finally:
        drive(*(server.stopping() for server in servers))


@asynccontextmanager
async def all_running(*servers: AnyServer, on_ready: Callable[[AnyServer], None] | None = None) -> AsyncGenerator[None]:
    """Keep `servers` running for the block; `on_ready` hears of each as soon as it answers."""
    try:
        await drive_async(*(_telling(server, on_ready) for server in servers))
        yield
    finally:
        await drive_async(*(server.stopping() for server in servers))


def _telling(server: AnyServer, on_ready: Callable[[AnyServer], None] | None) -> Steps:
    yield from server.starting()
    if on_ready:
        on_ready(server)
