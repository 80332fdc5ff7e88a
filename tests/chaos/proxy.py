"""A TCP proxy for one edge, such as worker-1 to PostgreSQL, that can do to it whatever a network does."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from gofleet.embedded.resources import free_ports

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536
RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 s: what is unsent is thrown away and the peer gets RST


@dataclass
class Way:
    """One direction of an edge. `flowing` unset = held back; `losing` = swallowed, as by a broken router."""

    delay_seconds: float = 0.0
    bytes_per_second: float | None = None
    losing: bool = False
    flowing: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.flowing.set()

    def heal(self) -> None:
        self.delay_seconds, self.bytes_per_second, self.losing = 0.0, None, False
        self.flowing.set()


class Spy(Protocol):
    """Sees what goes by in a connection before it is passed on; may doom the connection."""

    def __call__(self, connection: Connection, data: bytes, /) -> None: ...


class Connection:
    """One connection through an edge. `memory` is for spies; a `doomed` one is reset instead of getting an answer."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.doomed = False
        self.memory: dict[str, object] = {}
        self._ends = (client, server)

    def close(self) -> None:
        """An orderly end: FIN to both."""
        for end in self._ends:
            end.close()

    def reset(self) -> None:
        """A rude end: RST to both."""
        for end in self._ends:
            sock = end.get_extra_info("socket")
            if sock is not None:
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            end.transport.abort()


class Edge:
    """Listens on `port` of 127.0.0.1, except while it is cut; connects to the first of `targets` that answers.

    `up` leads from the client to the server, `down` back.
    """

    def __init__(self, name: str, targets: Sequence[int] | Callable[[], Sequence[int]]) -> None:
        self.name = name
        self.port = free_ports(1)[0]
        self.accepted = 0
        self.up, self.down = Way(), Way()
        self.on_up: Spy | None = None
        self.connections: set[Connection] = set()
        self._targets = targets if callable(targets) else lambda: targets
        self._instead: Sequence[int] | None = None
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def allow(self) -> None:
        """Accept connections (again), always on the same port."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port)

    def refuse(self) -> None:
        """Accept no new connection; present ones live on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def cut(self) -> None:
        """Refuse new connections and close the present ones."""
        self.refuse()
        self.drop()

    def drop(self) -> None:
        """Close the present connections; new ones are welcome."""
        for connection in tuple(self.connections):
            connection.close()

    def reset(self) -> None:
        """RST to every present connection; new ones are welcome."""
        for connection in tuple(self.connections):
            connection.reset()

    def silence(self, *, up: bool = True, down: bool = True) -> None:
        """Half open: everything is accepted and nothing comes through, until healed, when all of it does."""
        for way, chosen in ((self.up, up), (self.down, down)):
            if chosen:
                way.flowing.clear()

    def lose(self, *, up: bool = True, down: bool = True) -> None:
        """Swallow what is sent. Healing resets the connections, whose streams have holes by then."""
        self.up.losing, self.down.losing = up, down

    def slow(self, seconds: float) -> None:
        """Every answer comes `seconds` later, half of it spent on each way."""
        self.up.delay_seconds = self.down.delay_seconds = seconds / 2

    def divert(self, ports: Sequence[int]) -> None:
        """Lead every connection to another server, until healed."""
        self._instead = ports
        self.reset()

    async def heal(self) -> None:
        """As on the first day."""
        if self._instead is not None:
            self._instead = None
            self.reset()
        holes = self.up.losing or self.down.losing
        self.up.heal()
        self.down.heal()
        self.on_up = None
        if holes:
            self.reset()
        await self.allow()

    async def close(self) -> None:
        """For good, without a trace."""
        self.refuse()
        self.reset()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._connect(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await self._dial()
        except OSError:
            Connection(writer, writer).reset()
            return
        connection = Connection(writer, far_writer)
        self.connections.add(connection)
        pumps = [
            asyncio.create_task(self._pass_on(connection, reader, far_writer, self.up)),
            asyncio.create_task(self._pass_on(connection, far_reader, writer, self.down)),
        ]
        try:
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            # One end is gone, so the other is closed as well.
            rude = any(pump.exception() is not None for pump in done)
            (connection.reset if rude else connection.close)()
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
            for pump in pumps:
                if not pump.cancelled():
                    pump.exception()  # retrieved, so that asyncio does not warn
            self.connections.discard(connection)
            connection.close()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        targets = list(self._targets() if self._instead is None else self._instead)
        self._turn += 1
        for number in range(len(targets)):
            with suppress(OSError):
                return await asyncio.open_connection(HOST, targets[(self._turn + number) % len(targets)])
        raise ConnectionRefusedError

    async def _pass_on(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way
    ) -> None:
        """Until the end of the stream; OSError when it broke, or when the connection was doomed."""
        while data := await reader.read(CHUNK_BYTES):
            if way is self.up and self.on_up is not None:
                self.on_up(connection, data)
            if way is self.down and connection.doomed:
                raise ConnectionResetError
            if way.delay_seconds:
                await asyncio.sleep(way.delay_seconds)
            if way.bytes_per_second:
                await asyncio.sleep(len(data) / way.bytes_per_second)
            await way.flowing.wait()
            if not way.losing:
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def an_edge(name: str, targets: Sequence[int] | Callable[[], Sequence[int]]) -> AsyncGenerator[Edge]:
    """An edge that accepts connections, gone after the block."""
    edge = Edge(name, targets)
    await edge.allow()
    try:
        yield edge
    finally:
        await edge.close()
