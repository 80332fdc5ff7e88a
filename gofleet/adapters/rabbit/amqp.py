"""AMQP frames, written to and confirmed over one channel: the only module that uses internals of the AMQP libraries.

aiormq's own publish creates a task, a timeout and three futures with callbacks for each message, and FastStream adds
to it; writing a batch of frames at once takes a sixth of the work. The libraries keep the connection, its heartbeat
and the reading of confirmations.

Undocumented parts in use, each of which `tests/ports/test_rabbit_amqp.py` names when an upgrade changes it:

* `aiormq.Channel`: `write_queue`, `lock`, `delivery_tag`, `confirmations`, `message_id_delivery_tag`, `closing`,
  `create_future`, `number`, `max_content_size`, `consumers`, `on_consumer_cancel_callbacks`;
* `aiormq.abc.ChannelFrame`: its fields and `marshall`;
* aio-pika: `connection.transport.connection`, its `channel()` and `server_properties`, `get_underlay_channel()`;
* FastStream: `declare_exchange` returns the exchange from its cache, whose `channel` is the broker's only one.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import aiormq
from aio_pika.abc import AbstractConnection, DeliveryMode, HeadersType
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq.abc import ChannelFrame
from aiormq.exceptions import ChannelInvalidStateError
from faststream.rabbit import RabbitBroker, RabbitExchange
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.encode import field_table
from pamqp.frame import marshal
from pamqp.header import ContentHeader

Confirmation = asyncio.Future[object]
UNSENDABLE = (TypeError, ValueError, struct.error)
"""What pamqp raises for values that AMQP cannot carry."""
BROKER_HEADERS = ("x-death", "x-delivery-count", "x-acquired-count", "x-first-death-", "x-last-death-")
"""Prefixes of headers that RabbitMQ writes; a copy must not carry them, for they tell about another message."""
ROUTING_HEADERS = ("CC", "BCC")
"""Headers that make RabbitMQ route a message to further queues; a copy goes to one queue."""


class ConnectionDied(Exception):
    """The connection or its channel was lost before RabbitMQ confirmed the message."""


@dataclass(frozen=True)
class Outgoing:
    """A message and its destination. `message_id` must be unique among the messages in flight. A `mandatory` one is
    refused if no queue takes it."""

    exchange: RabbitExchange
    routing_key: str
    body: bytes
    headers: HeadersType
    message_id: str
    content_type: str | None = "application/json"
    mandatory: bool = True

    def encoded(self, channel: int, frame_bytes_max: int) -> bytes:
        """Frames of a persistent message, its body cut at `frame_bytes_max`; raises one of UNSENDABLE."""
        properties = Basic.Properties(
            content_type=self.content_type,
            headers=self.headers,
            delivery_mode=DeliveryMode.PERSISTENT,
            message_id=self.message_id,
        )
        header = ContentHeader(properties=properties, body_size=len(self.body))
        frames = [marshal(frame, channel) for frame in (header, *self._body_frames(frame_bytes_max))]
        return _publish_frame(self.exchange.name, self.routing_key, channel, self.mandatory) + b"".join(frames)

    def _body_frames(self, frame_bytes_max: int) -> Iterator[ContentBody]:
        for start in range(0, len(self.body), frame_bytes_max):
            yield ContentBody(self.body[start : start + frame_bytes_max])


async def send_all(channel: aiormq.Channel, messages: Sequence[Outgoing], until: float) -> list[BaseException | None]:
    """Write all messages and wait until each is confirmed, or the loop's clock reaches `until`.

    For each message None, or why it is not confirmed: one of UNSENDABLE (it was not sent), `PublishError`,
    `DeliveryError`, `TimeoutError`, `ConnectionDied` or one of CONNECTION_EXCEPTIONS.
    """
    encoded = [_encode(message, channel) for message in messages]
    frames = [result for result in encoded if isinstance(result, bytes)]
    ids = [message.message_id for message, result in zip(messages, encoded, strict=True) if isinstance(result, bytes)]
    outcomes = iter(await _confirmed(channel, ids, b"".join(frames), until) if frames else ())
    return [next(outcomes) if isinstance(result, bytes) else result for result in encoded]


async def write_acks(channel: aiormq.Channel, acks: Sequence[Basic.Ack]) -> None:
    """Write acknowledgements in one system call; return once they are written."""
    internals: Any = channel  # its own types are incomplete
    # The channel's own future: it is cancelled when the channel is lost.
    written: asyncio.Future[None] = internals.create_future()
    frames = ChannelFrame.marshall(internals.number, acks, written)  # pyright: ignore[reportUnknownMemberType]
    await internals.write_queue.put(frames)
    await written


def check_open(channel: aiormq.Channel) -> None:
    """Raise ChannelInvalidStateError if the channel is closed."""
    if channel.is_closed:
        raise ChannelInvalidStateError(f"{channel!r} closed")


def set_on_loss(channel: aiormq.Channel, lost: asyncio.Event) -> None:
    """Set `lost` when the channel is closed, or a consumer is cancelled because its queue was deleted."""

    def on_loss(_: object) -> None:
        lost.set()

    closing: asyncio.Future[object] = channel.closing  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    closing.add_done_callback(on_loss)
    channel.on_consumer_cancel_callbacks.add(on_loss)


async def cancel_consumers(channel: aiormq.Channel) -> None:
    """Stop deliveries. Messages sent earlier have been accepted on return, for they precede RabbitMQ's reply."""
    for tag in tuple(channel.consumers):
        await channel.basic_cancel(tag)


async def only_channel(broker: RabbitBroker, exchange: RabbitExchange) -> aiormq.Channel:
    """The one channel of a connected `broker` on which `exchange` was declared."""
    declared = await broker.declare_exchange(exchange)  # from FastStream's cache
    channel = await declared.channel.get_underlay_channel()
    assert isinstance(channel, aiormq.Channel)  # noqa: S101  the abstract one lacks confirmations and consumers
    return channel


async def bare_channel(connection: AbstractConnection) -> aiormq.Channel:
    """A new aiormq channel of an aio-pika connection; ConnectionError if the connection was lost."""
    if connection.transport is None:
        raise ConnectionError("the connection was lost again")
    internals: Any = connection.transport.connection  # its own types are incomplete
    return await internals.channel()


def server_version(connection: AbstractConnection) -> str:
    """RabbitMQ's version as the connection handshake reported it; empty if unknown."""
    transport = connection.transport
    properties: dict[str, Any] = getattr(transport.connection, "server_properties", {}) if transport else {}
    return str(properties.get("version", ""))


def strip_broker_headers(headers: HeadersType) -> HeadersType:
    """The headers as they were published, without those that would route a copy to further queues."""
    return {
        name: value
        for name, value in headers.items()
        if not name.startswith(BROKER_HEADERS) and name not in ROUTING_HEADERS
    }


def redeliveries(headers: HeadersType) -> int:
    """How often this message was lost with its consumer; before RabbitMQ 4.3 a nack counts as well."""
    count = headers.get("x-delivery-count", 0)
    return count if isinstance(count, int) else 0


def writable_headers(headers: Mapping[str, str]) -> HeadersType:
    """The headers that AMQP can carry and RabbitMQ does not act on."""
    return {name: value for name, value in strip_broker_headers(dict(headers)).items() if is_encodable({name: value})}


def is_encodable(headers: HeadersType) -> bool:
    """Whether AMQP can carry these headers."""
    try:
        field_table(headers)
    except UNSENDABLE:
        return False
    return True


def _encode(message: Outgoing, channel: aiormq.Channel) -> bytes | Exception:
    try:
        return message.encoded(channel.number, channel.max_content_size)
    except UNSENDABLE as error:
        return error


@lru_cache(maxsize=256)
def _publish_frame(exchange: str, routing_key: str, channel: int, mandatory: bool) -> bytes:
    return marshal(Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory), channel)


async def _confirmed(
    channel: aiormq.Channel, ids: Sequence[str], frames: bytes, until: float
) -> list[BaseException | None]:
    confirmations: list[Confirmation] = [asyncio.get_running_loop().create_future() for _ in ids]
    unconfirmed: BaseException = ConnectionDied()
    try:
        async with asyncio.timeout_at(until), _written(channel, ids, frames, confirmations):
            # Not awaited one by one: after a missed heartbeat they raise CancelledError, as if this task were
            # cancelled.
            await asyncio.wait(confirmations)
    except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
        unconfirmed = error
    return [
        confirmation.exception() if confirmation.done() and not confirmation.cancelled() else unconfirmed
        for confirmation in confirmations
    ]


@asynccontextmanager
async def _written(
    channel: aiormq.Channel, ids: Sequence[str], frames: bytes, confirmations: Sequence[Confirmation]
) -> AsyncGenerator[None]:
    """The frames are queued for writing and RabbitMQ's confirmations resolve the futures; those still open are
    cancelled when the channel is lost, and at the end of the block."""
    internals: Any = channel  # its own types are incomplete

    def cancel_unconfirmed(_: object = None) -> None:
        for confirmation in confirmations:
            confirmation.cancel()  # no effect on a resolved one

    # The channel's lock keeps delivery tags in the order in which messages of all publishers are written.
    async with channel.lock:
        await internals.write_queue.put(ChannelFrame(frames, should_close=False))
        # No other task has run since, so nothing is confirmed yet; a task cancelled earlier has written nothing.
        tags = {id: channel.delivery_tag + offset for offset, id in enumerate(ids, 1)}
        internals.confirmations.update(enumerate(confirmations, channel.delivery_tag + 1))
        channel.message_id_delivery_tag.update(tags)
        channel.delivery_tag += len(ids)
    closing = internals.closing
    closing.add_done_callback(cancel_unconfirmed)
    try:
        yield
    finally:
        closing.remove_done_callback(cancel_unconfirmed)
        closing.cancel()  # cancels the observer, not the channel
        cancel_unconfirmed()
        for id, tag in tags.items():
            if channel.message_id_delivery_tag.get(id) == tag:
                del channel.message_id_delivery_tag[id]
