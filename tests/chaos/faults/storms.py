"""F14, F15, F18, F19: more cancellations, orders, customers or connections than planned."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from gofleet.domain.place import Place
from tests.chaos.client import Client
from tests.chaos.proxy import HOST
from tests.chaos.trial import Trial, fault
from tests.makers import CENTRE

VILLAGE = Place(CENTRE.lat - 2, CENTRE.lng)
TOWN = Place(CENTRE.lat - 4, CENTRE.lng)
"""Far from all other drivers, and from each other."""
SPIKE_SECONDS = 20.0
ORDINARY_RATE = 6.0
IDLE, SLOW = 1500, 300
"""Connections that say nothing, and that say a byte a second."""
STORM_SECONDS = 12.0


@fault("F14", "160 orders, each cancelled within 50 ms", in_ci=True, nemesis=False)
async def cancel_storm(trial: Trial) -> None:
    async with trial.load(orders=160, rate=60, ending="cancel", cancel_within=0.05) as load:
        pass
    trial.note(f"{dict(load.ends)}")
    trial.check(set(load.ends) == {"CANCELLED"}, f"a cancel without a delivery before it ended as {dict(load.ends)}")


@fault("F15", "20 orders for one driver; 200 orders for ten", in_ci=True, nemesis=False)
async def scarcity(trial: Trial) -> None:
    number = trial.stage.trials
    for name, drivers, orders, place in (("village", 1, 20, VILLAGE), ("town", 10, 200, TOWN)):
        crew = await trial.stage.drivers.hire(f"{name}-{number}", drivers, place)
        async with trial.load(orders=orders, rate=60, ending="leave", drivers=crew, centre=place) as load:
            pass
        async with trial.world.connection() as connection:
            found = await connection.execute("select id, status from orders where id = any(%s)", [load.ids])
            statuses = [status for _, status in await found.fetchall()]
        dispatched, manual = statuses.count("DISPATCHED"), statuses.count("MANUAL_DISPATCH")
        trial.note(f"{name}: {dispatched} dispatched, {manual} in manual dispatch")
        trial.check(dispatched == drivers, f"{drivers} drivers hold {dispatched} orders")
        trial.check(dispatched + manual == orders, f"of {orders} orders {dispatched + manual} have an end")
        for id in crew:
            del trial.stage.drivers.places[id]


@fault("F18", "ten times the usual orders for 20 s", nemesis=False)
async def spike(trial: Trial) -> None:
    client = Client(trial.stage.client.http, trial.world.addresses, trial.world.ledger)
    orders, started = int(10 * ORDINARY_RATE * SPIKE_SECONDS), time.monotonic()
    # No customer polls its order: the clients of this rig would be busier than the system.
    async with trial.load(orders, rate=10 * ORDINARY_RATE, ending="forget", client=client) as load:
        pass
    trial.note(f"{len(load.ids)} in {time.monotonic() - started:.0f} s, {len(client.failures)} attempts were shed")
    trial.check(len(load.ids) == orders, f"only {len(load.ids)} of {orders} orders were accepted")


@fault("F19", "1500 connections that say nothing and 300 that say a byte a second", nemesis=False)
async def connection_storm(trial: Trial) -> None:
    api = trial.world.of("api")[0]
    sockets: list[asyncio.StreamWriter] = []
    stop = asyncio.Event()

    async def connect(words: bytes) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(10):
                _, writer = await asyncio.open_connection(HOST, api.port)
            sockets.append(writer)
            for byte in words:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)
                if stop.is_set():
                    return

    head = b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n"
    slow = [asyncio.create_task(connect(head)) for _ in range(SLOW // 2)]
    slow += [asyncio.create_task(connect(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 100)) for _ in range(SLOW // 2)]
    for first in range(0, IDLE, 100):
        await asyncio.gather(*(connect(b"") for _ in range(first, first + 100)))
    healthy = Client(trial.stage.client.http, lambda: [f"http://{HOST}:{api.port}"], trial.world.ledger)
    started = time.monotonic()
    async with trial.load(orders=60, rate=8, client=healthy):
        await asyncio.sleep(STORM_SECONDS)
    stop.set()
    for writer in sockets:
        writer.close()
    for task in slow:
        task.cancel()
    await asyncio.wait(slow)
    seconds = sorted(healthy.seconds)
    p95 = seconds[int(0.95 * (len(seconds) - 1))]
    trial.note(f"p95 {p95 * 1000:.0f} ms beside {len(sockets)} connections, in {time.monotonic() - started:.0f} s")
    trial.check(p95 < 1.0, f"p95 of healthy requests is {p95:.2f} s")
    trial.check(not healthy.failures, f"healthy requests failed: {healthy.failures[:3]}")
