"""Answers to deliveries. Acknowledgements due at the same time are written together, and where nothing before them is
still to be answered, as one.

Each frame is a command of its own in the log of a quorum queue, and each write is a call of the system.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import aiormq
from aiormq.abc import ChannelFrame
from aiormq.exceptions import ChannelInvalidStateError
from pamqp.commands import Basic

from gofleet.adapters.batcher import Batcher

MOST = 256


class AckWindow:
    """Which deliveries of a channel are answered. Their tags are 1, 2, 3, ..., so it need not hear of them."""

    def __init__(self) -> None:
        self._all_up_to = 0
        self._beyond: set[int] = set()

    def note(self, tags: Sequence[int]) -> None:
        """These are answered; one that could not be told may be answered again."""
        self._beyond.update(tag for tag in tags if tag > self._all_up_to)
        while self._all_up_to + 1 in self._beyond:
            self._all_up_to += 1
            self._beyond.remove(self._all_up_to)

    def frames(self, tags: Sequence[int]) -> list[Basic.Ack]:
        """What acknowledges `tags`, which were noted: one frame for all of them before which nothing is still to be
        answered, and one for each of the rest."""
        # The last of these tags, for the broker has forgotten those that were answered before.
        whole = max((tag for tag in tags if tag <= self._all_up_to), default=0)
        first = [Basic.Ack(delivery_tag=whole, multiple=True)] if whole else []
        return first + [Basic.Ack(delivery_tag=tag) for tag in tags if tag > whole]


class Acknowledger:
    """Of one channel, to what was delivered over it; each raises when the channel is lost."""

    def __init__(self, channel: aiormq.Channel) -> None:
        self._channel = channel
        self._answered = AckWindow()
        self._acknowledge: Batcher[int, None] = Batcher(self._acknowledge_all, max_size=MOST, common=(Exception,))

    async def ack(self, tag: int) -> None:
        """Returns when it is written."""
        await self._acknowledge(tag)

    async def nack(self, tag: int) -> None:
        """To the queue, for another consumer."""
        # Not reject: since RabbitMQ 4.3 that counts towards the delivery limit and nack does not.
        await self._channel.basic_nack(tag, requeue=True)
        # Not before: whatever is acknowledged from now on is written behind it, and may pass it over.
        self._answered.note([tag])

    async def _acknowledge_all(self, tags: Sequence[int]) -> list[None]:
        theirs: Any = self._channel  # its own types are open in places
        if theirs.is_closed:
            raise ChannelInvalidStateError(f"{self._channel!r} closed")
        self._answered.note(tags)
        written: asyncio.Future[None] = theirs.create_future()  # theirs, so that it ends with the channel
        frames = ChannelFrame.marshall(theirs.number, self._answered.frames(tags), written)  # pyright: ignore[reportUnknownMemberType]
        await theirs.write_queue.put(frames)
        await written
        return [None] * len(tags)
