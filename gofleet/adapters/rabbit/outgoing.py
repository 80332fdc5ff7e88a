"""A message on its way to RabbitMQ, as the bytes of AMQP."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from aio_pika.abc import DeliveryMode, HeadersType
from faststream.rabbit import RabbitExchange
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.frame import marshal
from pamqp.header import ContentHeader

UNSENDABLE = (TypeError, ValueError, struct.error)


@dataclass(frozen=True)
class Outgoing:
    """A message and where it goes; `message_id` tells messages that are under way at the same time apart."""

    exchange: RabbitExchange
    routing_key: str
    body: bytes
    headers: HeadersType
    message_id: str
    content_type: str | None = "application/json"

    def encoded(self, channel: int, most_bytes: int) -> bytes:
        """Persistent and mandatory, its body in frames of up to `most_bytes`; raises one of UNSENDABLE."""
        properties = Basic.Properties(
            content_type=self.content_type,
            headers=self.headers,
            delivery_mode=DeliveryMode.PERSISTENT,
            message_id=self.message_id,
        )
        header = ContentHeader(properties=properties, body_size=len(self.body))
        frames = [marshal(frame, channel) for frame in (header, *self._pieces(most_bytes))]
        return _whereto(self.exchange.name, self.routing_key, channel) + b"".join(frames)

    def _pieces(self, most_bytes: int) -> Iterator[ContentBody]:
        for first in range(0, len(self.body), most_bytes):
            yield ContentBody(self.body[first : first + most_bytes])


@lru_cache(maxsize=256)
def _whereto(exchange: str, routing_key: str, channel: int) -> bytes:
    return marshal(Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True), channel)
