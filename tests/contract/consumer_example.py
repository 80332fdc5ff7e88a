"""Prints every event of every order, each at least once, those of one order in order."""

import asyncio
import json
import os

import aio_pika


async def main() -> None:
    async with await aio_pika.connect(os.environ.get("RABBITMQ_URL", "amqp://guest:guest@localhost/")) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=100)
        exchange = await channel.declare_exchange("orders", aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue("mine.orders", durable=True)
        await queue.bind(exchange, "orders.*")
        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process():  # acknowledged when the block ends, given back when it fails
                    event = json.loads(message.body)
                    print(event["event_id"], event["type"], event["order_id"], event["sequence"], flush=True)  # noqa: T201


asyncio.run(main())
