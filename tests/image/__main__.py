"""`just image-check`: the image runs every role, on real servers of this machine, with the documented limits."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Annotated
from uuid import uuid4

import httpx
from cyclopts import App, Parameter

from gofleet.embedded import Postgres, RabbitMQ, Valkey, running
from gofleet.listening import free_port
from gofleet.roles import ORDER
from tests.image.engine import Engine, an_engine
from tests.waiting import eventually

app = App(name="just image-check", help=__doc__)
TOOLS = "gcc cc make ld pip pip3 uv curl wget git"
Image = Annotated[str, Parameter(help="The image to check.")]
Megabytes = Annotated[float, Parameter(help="Largest allowed size.")]


@app.default
def image_check(*, image: Image = "gofleet:dev", megabytes: Megabytes = 250) -> None:
    """Check size, user, tools, roles and the first order; AssertionError at the first difference."""
    engine = an_engine(image)
    check_contents(engine, megabytes)
    postgres, valkey, rabbit = Postgres(durable=False, max_connections=200), Valkey(durable=False), RabbitMQ()
    with running(postgres, valkey, rabbit):
        asyncio.run(check_roles(engine, addresses(postgres, valkey, rabbit)))


def check_contents(engine: Engine, megabytes: float) -> None:
    """Size, user, absent tools and a read-only file system."""
    image = engine.inspected()
    size = image["Size"] / 1e6
    report(f"{engine.image} by {engine.program}: {size:.0f} MB in {len(image['RootFS']['Layers'])} layers")
    assert size < megabytes, f"{size:.0f} MB, more than {megabytes:.0f}"
    assert image["Config"]["User"] == "10001:10001"

    tools = engine.once(["-c", f"command -v {TOOLS} || true; id -u; touch /x 2>&1 || true"], entrypoint="sh")
    assert tools.splitlines()[0] == "10001", f"it contains tools to build or download with: {tools}"
    assert "Read-only file system" in tools
    report("user 10001, no tools to build or download with, only /tmp is writable")


def addresses(postgres: Postgres, valkey: Valkey, rabbit: RabbitMQ) -> dict[str, str]:
    """The environment variables of the original system."""
    db, redis, amqp = postgres.address, valkey.address, rabbit.address
    return {
        "DB_HOST": db.host,
        "DB_PORT": str(db.port),
        "DB_USER": db.user,
        "DB_PASSWORD": db.password,
        "DB_NAME": db.database,
        "RABBITMQ_HOST": amqp.host,
        "AMQP_PORT": str(amqp.port),
        "RABBITMQ_USER": amqp.user,
        "RABBITMQ_PASSWORD": amqp.password,
        "REDIS_HOST": redis.host,
        "REDIS_PORT": str(redis.port),
        "REDIS_PASSWORD": redis.password,
        "NAME_PREFIX": f"{uuid4().hex[:8]}.",
        "WEB_SERVER_PORT": str(free_port("127.0.0.1", 18_800)),
        "GRPC_PORT": str(free_port("127.0.0.1", 15_800)),
        "LOG_FORMAT": "json",
    }


async def check_roles(engine: Engine, environment: dict[str, str]) -> None:
    """Migrate, start each role as a container, create an order with curl, stop."""
    engine.once(["migrate"], environment)
    report("migrated")
    started = time.monotonic()
    with ExitStack() as stack:
        containers: dict[str, str] = {}
        for number, role in enumerate(ORDER):
            own = {"METRICS_PORT": str(free_port("127.0.0.1", 22_800 + 20 * number))}
            container = engine.container(["run", "--role", role], environment | own)
            containers[role] = stack.enter_context(container)
        try:
            for role in ORDER:
                await eventually(lambda role=role: engine.is_healthy(containers[role]), within=60, every=0.5)
            report(f"{', '.join(ORDER)}: healthy after {time.monotonic() - started:.1f} s")
            await order(f"http://127.0.0.1:{environment['WEB_SERVER_PORT']}")
        except AssertionError:
            for role, container in containers.items():
                report(f"--- {role}\n{engine.run('logs', '--tail', '20', container)}")
            raise
        for role, container in containers.items():
            started = time.monotonic()
            code = engine.stop(container)
            report(f"{role}: exit code {code} {time.monotonic() - started:.1f} s after SIGTERM")
            assert code == 0


async def order(api: str) -> None:
    """The original system's curl command, except for the address, with a driver near the depot."""
    async with httpx.AsyncClient(base_url=f"{api}/api/v1", timeout=10, trust_env=False) as http:
        (await http.put("/drivers/maria", json={"name": "Maria"})).raise_for_status()
        place = {"lat": -23.5505, "lng": -46.6333}
        (await http.put("/drivers/maria/position", json=place)).raise_for_status()
        command = ["curl", "-s", "-X", "POST", f"{api}/api/v1/orders", "-H", "Content-Type: application/json"]
        command += ["-d", '{"id":"pedido-teste-01", "price": 100.0, "tax": 10.0}']
        done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True, timeout=20)
        report(done.stdout)
        assert '"final_price":110.0' in done.stdout.replace(" ", "")

        async def dispatched() -> bool:
            order = (await http.get("/orders/pedido-teste-01")).raise_for_status().json()
            return order["status"] == "DISPATCHED" and order["driver_id"] == "maria"

        await eventually(dispatched, within=20)
        report("pedido-teste-01 is DISPATCHED to maria")


def report(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(app())
