"""Redis Streams as message queues: key names, FastStream's entry format, and the operations of one consumer group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from ssl import SSLContext
from typing import Any
from uuid import uuid4

from faststream import AckPolicy
from faststream.redis import RedisBroker, RedisStreamMessage, StreamSub
from faststream.redis.parser import BinaryMessageFormatV1
from faststream.security import BaseSecurity
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError

from gofleet.adapters.dispatcher import decode_headers
from gofleet.adapters.redis.connection import renew_connections
from gofleet.adapters.redis.names import StreamNames
from gofleet.domain.messages import EVENT_ID, Delivery, with_crashes

REDIS = "Redis"
GROUP = "gofleet"
RETRIES = 2
FASTSTREAM_HEADER = "correlation_id"
DATA = b"__data__"
HEADER_BYTES_MAX = 2**16 - 1
IDLE_BEYOND_LIMITS_MS = 10**9
MOVE_DUE_MAX = 100

Entry = dict[bytes, bytes]


class RedisStream:
    """One stream, as one consumer of its group uses it. Each method is atomic and may raise RedisError or OSError."""

    def __init__(self, broker: RedisBroker, names: StreamNames, queue: str) -> None:
        self._broker = broker
        self._keys = (names.stream(queue), names.later(queue), names.parking(queue))
        # A unique name: entries of a dead consumer are claimed by idle time, not by name.
        self._consumer = uuid4().hex
        self._subscriber = broker.subscriber(
            stream=StreamSub(self._keys[0], group=GROUP, consumer=self._consumer),
            ack_policy=AckPolicy.MANUAL,
            decoder=_no_decoding,
            no_reply=True,
        )

    async def open(self) -> None:
        """Create the client; it sends nothing to the server yet."""
        redis = await self._broker.connect()
        self._redis = redis
        folder = files("gofleet.adapters.redis") / "lua"
        self._scripts: dict[str, Any] = {
            name: redis.register_script((folder / f"stream_{name}.lua").read_text(encoding="utf-8"))
            for name in ("postpone", "move_due", "claim", "keep", "give_back")
        }

    async def close(self) -> None:
        await self._broker.stop()

    async def renew_connections(self, error: Exception) -> None:
        """Close the connections to a server that is no longer the primary."""
        await renew_connections(self._redis, error)

    async def prepare(self) -> None:
        """Create stream and group if they do not exist, also after Redis has lost its data."""
        try:
            # From the beginning: FastStream's own group would skip what was published before it.
            await self._redis.xgroup_create(self._keys[0], GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        if not self._subscriber.running:
            await self._subscriber.start()

    async def read(self, timeout_seconds: float) -> tuple[bytes, Entry] | None:
        """The id and content of an entry that no consumer has had; None after the timeout."""
        try:
            message = await self._subscriber.get_one(timeout=timeout_seconds)
        except ValueError:
            return None  # FastStream cannot read it; `claim`, which does not use FastStream, delivers it later
        if message is None:
            return None
        return message.raw_message["message_ids"][0], message.raw_message["data"]

    async def move_due(self) -> None:
        """Move retries that are due back into the stream."""
        await self._run("move_due", self._keys[:2], MOVE_DUE_MAX)

    async def claim(
        self, count: int, min_idle_seconds: float, delivery_limit: int
    ) -> tuple[int, list[tuple[bytes, Entry, int]]]:
        """The number of entries that were parked, and up to `count` entries claimed from consumers idle for so long,
        each with the number of consumers that it lost."""
        idle_ms = round(min_idle_seconds * 1000)
        keys = (self._keys[0], self._keys[2])
        parked, *entries = await self._run("claim", keys, GROUP, self._consumer, idle_ms, count, delivery_limit)
        return parked, [(id, dict(zip(fields[::2], fields[1::2], strict=True)), lost) for (id, fields), lost in entries]

    async def keep(self, ids: Sequence[bytes]) -> None:
        """Reset the idle time of these entries, so that no other consumer claims them."""
        await self._run("keep", self._keys[:1], GROUP, self._consumer, *ids)

    async def ack(self, id: bytes) -> None:
        async with self._redis.pipeline(transaction=True) as transaction:
            transaction.xack(self._keys[0], GROUP, id)
            transaction.xdel(self._keys[0], id)
            await transaction.execute()

    async def retry_later(self, id: bytes, seconds: float, replacement: bytes) -> None:
        """Replace the entry by `replacement`, to be delivered after `seconds`."""
        await self._run("postpone", self._keys[:2], GROUP, id, round(seconds * 1000), replacement)

    async def nack(self, id: bytes | None = None) -> None:
        """Let other consumers claim the entry at once. Without an id: all entries, and leave the group."""
        first, last = (id, id) if id else ("-", "+")
        await self._run("give_back", self._keys[:1], GROUP, self._consumer, first, last, IDLE_BEYOND_LIMITS_MS)

    async def _run(self, script: str, keys: Sequence[str], *args: str | bytes | int) -> Any:
        return await self._scripts[script](keys=keys, args=args)


def stream_broker(url: str, timeout_seconds: float, tls: SSLContext | None = None) -> RedisBroker:
    """A broker that is not connected yet. It replaces a connection that died in the pool; `from_url` never retries."""
    return RedisBroker(
        f"{url}{'&' if '?' in url else '?'}protocol=2",
        security=BaseSecurity(tls) if tls else None,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), RETRIES, supported_errors=(ConnectionLost,)),
        logger=None,  # pyright: ignore[reportArgumentType]  # documented, and missing in its TypedDict
        apply_types=False,
    )


async def encode_entry(body: bytes, headers: Mapping[str, str]) -> bytes:
    """A message as the value of an entry's only field."""
    # FastStream's own header, which no consumer of ours reads; ASCII, for FastStream counts its characters as bytes.
    correlation_id = headers.get(EVENT_ID, "").encode("ascii", "replace").decode()
    return await BinaryMessageFormatV1.encode(
        message=body, headers=encode_headers(headers), reply_to=None, correlation_id=correlation_id
    )


def decode_entry(queue: str, entry: Mapping[bytes, bytes], lost: int) -> Delivery:
    """The message of an entry that `lost` a number of consumers; content that FastStream did not write becomes a body
    without headers."""
    body, headers = BinaryMessageFormatV1.parse(entry.get(DATA, b""))
    own = {name: value for name, value in headers.items() if name != FASTSTREAM_HEADER}
    return Delivery(queue, body, with_crashes(decode_headers(own), lost))


def encode_headers(headers: Mapping[str, str]) -> dict[Any, bytes]:
    """Headers as bytes, because FastStream counts characters of text as bytes, and would cut `é` in half."""
    return {name.encode(): value.encode() for name, value in headers.items()}


def encodable_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that an entry can carry: UTF-8 text whose length fits two bytes."""
    return {name: value for name, value in headers.items() if _is_encodable(name) and _is_encodable(value)}


def _is_encodable(text: str) -> bool:
    try:
        return len(text.encode()) <= HEADER_BYTES_MAX
    except UnicodeEncodeError:
        return False


async def _no_decoding(message: RedisStreamMessage) -> RedisStreamMessage:
    """A decoder that cannot fail; `decode_entry` decodes the raw entry."""
    return message
