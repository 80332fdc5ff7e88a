"""Acknowledgements: those due at the same time are written together, for each write is a call of the system."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import aiormq
from aiormq.abc import ChannelFrame
from aiormq.exceptions import ChannelInvalidStateError
from pamqp.commands import Basic

from gofleet.adapters.coalescing import Coalescer

Acks = Coalescer[int, None]
"""Called with a delivery's tag, it returns when that is written, and raises when the channel is lost."""
MOST = 256


def acks_of(channel: aiormq.Channel) -> Acks:
    theirs: Any = channel  # its own types are open in places

    async def write(tags: Sequence[int]) -> list[None]:
        if channel.is_closed:
            raise ChannelInvalidStateError(f"{channel!r} closed")
        written: asyncio.Future[None] = theirs.create_future()  # theirs, so that it ends with the channel
        frames = [Basic.Ack(delivery_tag=tag) for tag in tags]
        await theirs.write_queue.put(ChannelFrame.marshall(channel.number, frames, written))  # pyright: ignore[reportUnknownMemberType]
        await written
        return [None] * len(tags)

    return Coalescer(write, most=MOST, common=(Exception,))
