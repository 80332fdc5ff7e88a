"""Faulty relays and publishers that lose events, on the product's tables."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractExchange

from gofleet.adapters.postgres.pool import Connection, Pool
from gofleet.adapters.rabbit.connection import RabbitServer
from gofleet.domain.errors import GoFleetError, Unavailable
from gofleet.domain.messages import Message
from gofleet.ports import Publisher

Row = tuple[int, Message]
COLUMNS = "id, event_id::text, event_type, aggregate_id, seq, payload::text"


@dataclass(frozen=True)
class FailedWithoutRetry:
    """Marks an event that could not be published at once as FAILED, which nothing selects and a purge deletes."""

    pool: Pool
    publisher: Publisher

    async def __call__(self) -> int:
        async with self.pool.connection() as connection, connection.transaction():
            rows = await selected(connection, "failed_at is null for update skip locked")
            for id, message in rows:
                (failure,) = await self.publisher.publish([message])
                column = b"failed_at" if failure else b"published_at"
                await connection.execute(b"update outbox set " + column + b" = now() where id = %s", [id])
        return len(rows)

    async def purge(self) -> None:
        async with self.pool.connection() as connection:
            await connection.execute("delete from outbox where published_at <= now() or failed_at <= now()")


@dataclass(frozen=True)
class AllAtOnce:
    """Publishes the events of a batch concurrently."""

    pool: Pool
    publisher: Publisher

    async def __call__(self) -> int:
        async with self.pool.connection() as connection, connection.transaction():
            rows = await selected(connection, "true order by id for update skip locked")
            await asyncio.gather(*(self.publisher.publish([message]) for _, message in rows))
            ids = [id for id, _ in rows]
            await connection.execute("update outbox set published_at = now() where id = any(%s)", [ids])
        return len(rows)


@dataclass(frozen=True)
class MarkedAsProcessing:
    """Claims by a status committed before the publication, and releases claims after five minutes."""

    pool: Pool
    publisher: Publisher

    async def __call__(self) -> int:
        async with self.pool.connection() as connection:
            await connection.execute("alter table outbox add column if not exists processing_since timestamptz")
            await connection.execute(
                "update outbox set processing_since = null where processing_since < now() - interval '5 minutes'"
            )
            async with connection.transaction():
                rows = await selected(connection, "processing_since is null for update skip locked")
                ids = [id for id, _ in rows]
                await connection.execute("update outbox set processing_since = now() where id = any(%s)", [ids])
            await self.publisher.publish([message for _, message in rows])
            await connection.execute("update outbox set published_at = now() where id = any(%s)", [ids])
        return len(rows)


async def selected(connection: Connection, where: str) -> list[Row]:
    query = f"select {COLUMNS} from outbox where published_at is null and {where}"
    found = await connection.execute(query.encode())
    return [(row[0], Message(row[1], row[2], row[3], row[4], row[5].encode())) for row in await found.fetchall()]


class OneConnection:
    """One connection and one channel for the life of the process; no confirmations; declares only the exchange."""

    def __init__(self, server: RabbitServer, exchange: str) -> None:
        self._url, self._name = server.url, exchange
        self._connection: AbstractConnection | None = None
        self._exchange: AbstractExchange | None = None

    async def __aenter__(self) -> Self:
        self._connection = await aio_pika.connect(self._url)
        channel = await self._connection.channel(publisher_confirms=False)
        self._exchange = await channel.declare_exchange(self._name, aio_pika.ExchangeType.TOPIC, durable=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._connection is not None
        await self._connection.close()

    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        return [await self._publish(message) for message in messages]

    async def _publish(self, message: Message) -> GoFleetError | None:
        assert self._exchange is not None
        outgoing = aio_pika.Message(
            message.body, headers=dict(message.headers()), delivery_mode=aio_pika.DeliveryMode.PERSISTENT
        )
        try:
            async with asyncio.timeout(1):
                await self._exchange.publish(outgoing, message.type, mandatory=False)
        except Exception as error:
            return Unavailable("RabbitMQ", repr(error))
        return None
