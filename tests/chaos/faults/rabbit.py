"""F8, F10: RabbitMQ restarts, stops, forgets a queue, takes nothing; its confirmations are lost."""

from __future__ import annotations

import asyncio

import aio_pika

from gofleet.domain.messages import DISPATCH_QUEUE, FLEET_QUEUE
from tests.chaos.trial import Trial, fault

AWAY_SECONDS = 4.0


@fault("F8", "RabbitMQ: killed and started, stop_app, a queue deleted under load, memory alarm", own_world=True)
async def rabbit_away(trial: Trial) -> None:
    server, ctl = trial.world.servers.rabbit, trial.world.servers.rabbitmqctl
    async with trial.load(orders=40, rate=5):
        await asyncio.sleep(1.5)
        server.kill()
        await asyncio.sleep(1)
        await server.start()
    async with trial.load(orders=40, rate=5):
        await asyncio.sleep(1)
        await ctl("stop_app")
        await asyncio.sleep(AWAY_SECONDS)
        await ctl("start_app")
    async with trial.load(orders=60, rate=10):
        for queue in (DISPATCH_QUEUE, FLEET_QUEUE):
            await asyncio.sleep(1.5)
            await _delete(trial, queue)
    async with trial.load(orders=40, rate=5) as load:
        await ctl("set_vm_memory_high_watermark", "0.00001")
        before = len(load.ids)
        await asyncio.sleep(AWAY_SECONDS)
        trial.check(len(load.ids) > before, "the api accepted nothing while RabbitMQ took nothing")
        await ctl("set_vm_memory_high_watermark", "absolute", "512MB")


@fault("F10", "RabbitMQ's confirmations are lost on their way to the relays")
async def confirmations_lost(trial: Trial) -> None:
    async with trial.load(orders=50, rate=10):
        for _ in range(3):
            for edge in trial.world.edges("rabbit", "relay"):
                edge.lose(up=False)
            await asyncio.sleep(1.5)
            for edge in trial.world.edges("rabbit", "relay"):
                await edge.heal()
            await asyncio.sleep(0.5)
    tapped = [message.headers["x-event-id"] for message in trial.world.tap.messages]
    doubles = len(tapped) - len(set(tapped))
    trial.note(f"{doubles} events were published more than once so far")


async def _delete(trial: Trial, queue: str) -> None:
    trial.world.broker_lost_data = True
    async with await aio_pika.connect(trial.world.rabbit.url) as connection, connection.channel() as channel:
        await channel.queue_delete(trial.world.prefix + queue)
