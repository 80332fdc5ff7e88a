"""Acknowledgements of deliveries, batched. Those due at the same time are written together, as one frame where no
earlier delivery is unsettled.

Each frame is a separate command in the log of a quorum queue, and each write is a system call.
"""

from __future__ import annotations

from collections.abc import Sequence

import aiormq
from pamqp.commands import Basic

from gofleet.adapters.batcher import Batcher
from gofleet.adapters.rabbit.amqp import check_open, write_acks

BATCH_MAX = 256


class AckWindow:
    """Tracks which deliveries of a channel are settled. Delivery tags count up from 1, so it needs no list of them."""

    def __init__(self) -> None:
        self._settled_up_to = 0
        self._settled_beyond: set[int] = set()

    def settle(self, tags: Sequence[int]) -> None:
        """Record these tags as settled; repeated tags are ignored."""
        self._settled_beyond.update(tag for tag in tags if tag > self._settled_up_to)
        while self._settled_up_to + 1 in self._settled_beyond:
            self._settled_up_to += 1
            self._settled_beyond.remove(self._settled_up_to)

    def ack_frames(self, tags: Sequence[int]) -> list[Basic.Ack]:
        """The frames that acknowledge `tags`, which are recorded as settled: one `multiple` frame up to the last of
        them before which nothing is unsettled, and one frame for each of the rest."""
        # The last of `tags`, not of the window: the broker does not know tags that were settled earlier.
        multiple = max((tag for tag in tags if tag <= self._settled_up_to), default=0)
        frames = [Basic.Ack(delivery_tag=multiple, multiple=True)] if multiple else []
        return frames + [Basic.Ack(delivery_tag=tag) for tag in tags if tag > multiple]


class Acknowledger:
    """Acknowledges or rejects the deliveries of one channel; both methods raise when the channel is lost."""

    def __init__(self, channel: aiormq.Channel) -> None:
        self._channel = channel
        self._window = AckWindow()
        self._batcher: Batcher[int, None] = Batcher(self._ack_all, max_size=BATCH_MAX, batch_errors=(Exception,))

    async def ack(self, tag: int) -> None:
        """Acknowledge; returns once the frame is written."""
        await self._batcher(tag)

    async def nack(self, tag: int) -> None:
        """Return the message to its queue, for another consumer."""
        # basic.nack, not basic.reject: since RabbitMQ 4.3 reject counts towards the delivery limit and nack does not.
        await self._channel.basic_nack(tag, requeue=True)
        # Only now: a later `multiple` acknowledgement is written behind the nack and may cover its tag.
        self._window.settle([tag])

    async def _ack_all(self, tags: Sequence[int]) -> list[None]:
        check_open(self._channel)
        self._window.settle(tags)
        await write_acks(self._channel, self._window.ack_frames(tags))
        return [None] * len(tags)
