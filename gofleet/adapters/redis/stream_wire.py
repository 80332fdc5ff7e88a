"""How our messages lie in Redis: the names of the streams, and FastStream's format of an entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

from faststream.redis import RedisBroker
from faststream.redis.parser import BinaryMessageFormatV1
from faststream.security import BaseSecurity
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as ConnectionLost

from gofleet.adapters.dispatcher import decode_headers
from gofleet.domain.messages import EVENT_ID, Delivery, parking_queue

REDIS = "Redis"
GROUP = "gofleet"
RETRIES = 2
FASTSTREAMS_OWN = "correlation_id"
DATA = b"__data__"
LONGEST_TEXT_BYTES = 2**16 - 1


@dataclass(frozen=True)
class StreamNames:
    """Keys of one installation."""

    prefix: str = ""

    def stream(self, queue: str) -> str:
        return f"{self.prefix}stream:{queue}"

    def later(self, queue: str) -> str:
        """The sorted set of what waits for its time."""
        return f"{self.stream(queue)}.later"

    def parking(self, queue: str) -> str:
        return self.stream(parking_queue(queue))


def stream_broker(url: str, timeout_seconds: float, tls: SSLContext | None = None) -> RedisBroker:
    """Not connected yet. A connection that died in the pool is replaced; `from_url` alone would never retry."""
    return RedisBroker(
        f"{url}{'&' if '?' in url else '?'}protocol=2",
        security=BaseSecurity(tls) if tls else None,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), RETRIES, supported_errors=(ConnectionLost,)),
        logger=None,  # pyright: ignore[reportArgumentType]  # documented; its TypedDict forgot it
        apply_types=False,
    )


def encode_headers(headers: Mapping[str, str]) -> dict[Any, bytes]:
    """As bytes, for FastStream counts characters where it should count bytes, and cuts `é` in half."""
    return {name.encode(): value.encode() for name, value in headers.items()}


def encodable_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of the headers that an entry can carry: text, of a length that two bytes can tell."""
    return {name: value for name, value in headers.items() if _fits(name) and _fits(value)}


def _fits(text: str) -> bool:
    try:
        return len(text.encode()) <= LONGEST_TEXT_BYTES
    except UnicodeEncodeError:
        return False


async def encode_entry(body: bytes, headers: Mapping[str, str]) -> bytes:
    """A message as the value of an entry's only field."""
    # FastStream's own header, which nobody reads: in ASCII, for there it counts characters as well.
    correlation_id = headers.get(EVENT_ID, "").encode("ascii", "replace").decode()
    return await BinaryMessageFormatV1.encode(
        message=body, headers=encode_headers(headers), reply_to=None, correlation_id=correlation_id
    )


def decode_entry(queue: str, entry: Mapping[bytes, bytes]) -> Delivery:
    """Whatever it is: what FastStream did not write becomes a body without headers."""
    body, headers = BinaryMessageFormatV1.parse(entry.get(DATA, b""))
    kept = {name: value for name, value in headers.items() if name != FASTSTREAMS_OWN}
    return Delivery(queue, body, decode_headers(kept))
