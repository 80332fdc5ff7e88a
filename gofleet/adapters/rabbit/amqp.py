"""Many messages written to a channel at once, and what RabbitMQ said about each of them.

aiormq's own publish makes a task, a timeout and three futures with their callbacks for one message, and FastStream adds
to it: six times the work. What is theirs stays theirs: the connection, its death, and the reading of confirmations.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiormq
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq.abc import ChannelFrame

from gofleet.adapters.rabbit.outgoing import UNSENDABLE, Outgoing

Confirmation = asyncio.Future[object]


class ConnectionDied(Exception):
    """Or its channel did, before RabbitMQ had answered."""


async def send_all(channel: aiormq.Channel, messages: Sequence[Outgoing], until: float) -> list[BaseException | None]:
    """Write all of them and wait until each is answered for, or the loop's clock says `until`.

    For each message None, or why it is not confirmed: one of UNSENDABLE (it was not even sent), `PublishError`,
    `DeliveryError`, `TimeoutError`, `ConnectionDied` or one of CONNECTION_EXCEPTIONS.
    """
    encoded = [_encoded(message, channel) for message in messages]
    frames = [one for one in encoded if isinstance(one, bytes)]
    ids = [message.message_id for message, one in zip(messages, encoded, strict=True) if isinstance(one, bytes)]
    answers = iter(await _confirmed(channel, ids, b"".join(frames), until) if frames else ())
    return [next(answers) if isinstance(one, bytes) else one for one in encoded]


def _encoded(message: Outgoing, channel: aiormq.Channel) -> bytes | Exception:
    try:
        return message.encoded(channel.number, channel.max_content_size)
    except UNSENDABLE as error:
        return error


async def _confirmed(
    channel: aiormq.Channel, ids: Sequence[str], frames: bytes, until: float
) -> list[BaseException | None]:
    confirmations: list[Confirmation] = [asyncio.get_running_loop().create_future() for _ in ids]
    why: BaseException = ConnectionDied()
    try:
        async with asyncio.timeout_at(until), _written(channel, ids, frames, confirmations):
            # Never awaited one by one: what dies of a missed heartbeat would raise CancelledError, as if we were meant.
            await asyncio.wait(confirmations)
    except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
        why = error
    return [confirmation.exception() if _is_answered(confirmation) else why for confirmation in confirmations]


def _is_answered(confirmation: Confirmation) -> bool:
    return confirmation.done() and not confirmation.cancelled()


@asynccontextmanager
async def _written(
    channel: aiormq.Channel, ids: Sequence[str], frames: bytes, confirmations: Sequence[Confirmation]
) -> AsyncGenerator[None]:
    """The frames are on their way, and RabbitMQ's answers go to the confirmations; those it has not answered are
    cancelled when the channel is lost, and at the end."""
    theirs: Any = channel  # its own types are open in places

    def lose(_: object = None) -> None:
        for confirmation in confirmations:
            confirmation.cancel()  # unless it is answered

    # Its lock keeps the numbers that are given in the order of what is written, by whomever.
    async with channel.lock:
        await theirs.write_queue.put(ChannelFrame(frames, should_close=False))
        # Nobody has run since: nothing is answered yet. And who is cancelled before has written nothing.
        tags = {id: channel.delivery_tag + nth for nth, id in enumerate(ids, 1)}
        theirs.confirmations.update(enumerate(confirmations, channel.delivery_tag + 1))
        channel.message_id_delivery_tag.update(tags)
        channel.delivery_tag += len(ids)
    closing = theirs.closing
    closing.add_done_callback(lose)
    try:
        yield
    finally:
        closing.remove_done_callback(lose)
        closing.cancel()  # the watching, not the channel
        lose()
        for id, tag in tags.items():
            if channel.message_id_delivery_tag.get(id) == tag:
                del channel.message_id_delivery_tag[id]
