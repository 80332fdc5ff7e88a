"""HTTP as bytes, for requests that no client library sends."""

from __future__ import annotations

import asyncio
from contextlib import suppress


async def exchange(port: int, *pieces: bytes, half_close: bool = False) -> bytes:
    """Send the pieces; all bytes of the response, until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with suppress(ConnectionError):  # it may close before everything is sent
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if half_close:
                writer.write_eof()
        async with asyncio.timeout(10):
            return await _everything(reader)
    finally:
        writer.close()


async def _everything(reader: asyncio.StreamReader) -> bytes:
    received = b""
    with suppress(ConnectionError):
        while piece := await reader.read(65_536):
            received += piece
    return received
