"""What can be done with one stream and its consumer group, each act atomic on the server."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any
from uuid import uuid4

from faststream import AckPolicy
from faststream.redis import RedisBroker, RedisStreamMessage, StreamSub
from redis.exceptions import ResponseError

from gofleet.adapters.redis.stream_wire import GROUP, StreamNames

BEYOND_EVERY_LIMIT_MS = 10**9
MOVED_AT_ONCE = 100

Entry = dict[bytes, bytes]


class RedisStream:
    """One stream, as one consumer of its group sees it. Every method may raise RedisError or OSError."""

    def __init__(self, broker: RedisBroker, names: StreamNames, queue: str) -> None:
        self._broker = broker
        self._keys = (names.stream(queue), names.later(queue), names.parking(queue))
        # A name of its own for each: whoever takes over from the dead does not ask for their names.
        self._consumer = uuid4().hex
        self._subscriber = broker.subscriber(
            stream=StreamSub(self._keys[0], group=GROUP, consumer=self._consumer),
            ack_policy=AckPolicy.MANUAL,
            decoder=_as_it_is,
            no_reply=True,
        )

    async def open(self) -> None:
        """Connect; this asks nothing of the server yet."""
        redis = await self._broker.connect()
        self._redis = redis
        folder = files("gofleet.adapters.redis") / "lua"
        self._scripts: dict[str, Any] = {
            name: redis.register_script((folder / f"stream_{name}.lua").read_text(encoding="utf-8"))
            for name in ("postpone", "move_due", "claim", "keep", "give_back")
        }

    async def close(self) -> None:
        await self._broker.stop()

    async def prepare(self) -> None:
        """Make sure that stream and group exist, also after Redis has forgotten them."""
        try:
            # From the beginning: FastStream's own group would miss what was published before it.
            await self._redis.xgroup_create(self._keys[0], GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        if not self._subscriber.running:
            await self._subscriber.start()

    async def read(self, within_seconds: float) -> tuple[bytes, Entry] | None:
        """A message nobody has had before."""
        try:
            found = await self._subscriber.get_one(timeout=within_seconds)
        except ValueError:
            return None  # an entry that FastStream cannot read; it comes again by `claim`, which does not ask it
        if found is None:
            return None
        return found.raw_message["message_ids"][0], found.raw_message["data"]

    async def move_due(self) -> None:
        """Put retries whose time has come back into the stream."""
        await self._run("move_due", self._keys[:2], MOVED_AT_ONCE)

    async def claim(
        self, count: int, min_idle_seconds: float, delivery_limit: int
    ) -> tuple[int, list[tuple[bytes, Entry]]]:
        """How many were parked, and up to `count` messages of consumers that are silent for so long, now ours."""
        idle_ms = round(min_idle_seconds * 1000)
        keys = (self._keys[0], self._keys[2])
        parked, *entries = await self._run("claim", keys, GROUP, self._consumer, idle_ms, count, delivery_limit)
        return parked, [(id, dict(zip(fields[::2], fields[1::2], strict=True))) for id, fields in entries]

    async def keep(self, ids: Sequence[bytes]) -> None:
        """Be heard of, so that nobody takes these over."""
        await self._run("keep", self._keys[:1], GROUP, self._consumer, *ids)

    async def ack(self, id: bytes) -> None:
        async with self._redis.pipeline(transaction=True) as transaction:
            transaction.xack(self._keys[0], GROUP, id)
            transaction.xdel(self._keys[0], id)
            await transaction.execute()

    async def retry_later(self, id: bytes, seconds: float, following: bytes) -> None:
        """Replace the message by `following`, to be delivered after `seconds`."""
        await self._run("postpone", self._keys[:2], GROUP, id, round(seconds * 1000), following)

    async def nack(self, id: bytes | None = None) -> None:
        """Let others have it now. Without an id: everything, and leave the group."""
        first, last = (id, id) if id else ("-", "+")
        await self._run("give_back", self._keys[:1], GROUP, self._consumer, first, last, BEYOND_EVERY_LIMIT_MS)

    async def _run(self, script: str, keys: Sequence[str], *args: str | bytes | int) -> Any:
        return await self._scripts[script](keys=keys, args=args)


async def _as_it_is(message: RedisStreamMessage) -> RedisStreamMessage:
    """A decoder that cannot fail; `unpacked` reads what the entry says."""
    return message
