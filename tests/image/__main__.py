"""`just image-check`: the image runs as promised, all roles of it, on real servers of this machine."""

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
from gofleet.parts import free_port
from gofleet.roles import ORDER
from tests.image.engine import Engine, an_engine
from tests.waiting import eventually

app = App(name="just image-check", help=__doc__)
TOOLS = "gcc cc make ld pip pip3 uv curl wget git"
Image = Annotated[str, Parameter(help="The image to check.")]
Megabytes = Annotated[float, Parameter(help="How large it may be.")]


@app.default
def image_check(*, image: Image = "gofleet:dev", megabytes: Megabytes = 250) -> None:
    """Ends with an AssertionError at the first thing that is not as promised."""
    engine = an_engine(image)
    look(engine, megabytes)
    postgres, valkey, rabbit = Postgres(durable=False, max_connections=200), Valkey(durable=False), RabbitMQ()
    with running(postgres, valkey, rabbit):
        asyncio.run(play(engine, addresses(postgres, valkey, rabbit)))


def look(engine: Engine, megabytes: float) -> None:
    """Size, user, tools, and that nothing can be written."""
    found = engine.inspected()
    size = found["Size"] / 1e6
    tell(f"{engine.image} by {engine.program}: {size:.0f} MB in {len(found['RootFS']['Layers'])} layers")
    assert size < megabytes, f"{size:.0f} MB, more than {megabytes:.0f}"
    assert found["Config"]["User"] == "10001:10001"

    tools = engine.once(["-c", f"command -v {TOOLS} || true; id -u; touch /x 2>&1 || true"], entrypoint="sh")
    assert tools.splitlines()[0] == "10001", f"it has tools to build or fetch with: {tools}"
    assert "Read-only file system" in tools
    tell("user 10001, nothing to build or fetch with, nothing writable but /tmp")


def addresses(postgres: Postgres, valkey: Valkey, rabbit: RabbitMQ) -> dict[str, str]:
    """The seed's variables."""
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
        "NAME_PREFIX": f"{uuid4().hex[:8]}.",
        "WEB_SERVER_PORT": str(free_port("127.0.0.1", 18_800)),
        "GRPC_PORT": str(free_port("127.0.0.1", 15_800)),
        "LOG_FORMAT": "json",
    }


async def play(engine: Engine, environment: dict[str, str]) -> None:
    """Migrate, start each role as a container, order as the seed does, stop."""
    engine.once(["migrate"], environment)
    tell("migrated")
    began = time.monotonic()
    with ExitStack() as stack:
        containers: dict[str, str] = {}
        for number, role in enumerate(ORDER):
            own = {"METRICS_PORT": str(free_port("127.0.0.1", 22_800 + 20 * number))}
            container = engine.container(["run", "--role", role], environment | own)
            containers[role] = stack.enter_context(container)
        try:
            for role in ORDER:
                await eventually(lambda role=role: engine.is_healthy(containers[role]), within=60, every=0.5)
            tell(f"{', '.join(ORDER)}: healthy after {time.monotonic() - began:.1f} s")
            await order(f"http://127.0.0.1:{environment['WEB_SERVER_PORT']}")
        except AssertionError:
            for role, container in containers.items():
                tell(f"--- {role}\n{engine.say('logs', '--tail', '20', container)}")
            raise
        for role, container in containers.items():
            began = time.monotonic()
            code = engine.stop(container)
            tell(f"{role}: exit code {code} {time.monotonic() - began:.1f} s after SIGTERM")
            assert code == 0


async def order(api: str) -> None:
    """The seed's curl, letter for letter but for the address, with a driver near the depot."""
    async with httpx.AsyncClient(base_url=f"{api}/api/v1", timeout=10, trust_env=False) as http:
        (await http.put("/drivers/maria", json={"name": "Maria"})).raise_for_status()
        place = {"lat": -23.5505, "lng": -46.6333}
        (await http.put("/drivers/maria/position", json=place)).raise_for_status()
        words = ["curl", "-s", "-X", "POST", f"{api}/api/v1/orders", "-H", "Content-Type: application/json"]
        words += ["-d", '{"id":"pedido-teste-01", "price": 100.0, "tax": 10.0}']
        said = await asyncio.to_thread(subprocess.run, words, check=True, capture_output=True, text=True, timeout=20)
        tell(said.stdout)
        assert '"final_price":110.0' in said.stdout.replace(" ", "")

        async def dispatched() -> bool:
            answer = (await http.get("/orders/pedido-teste-01")).raise_for_status()
            return answer.json()["status"] == "DISPATCHED" and answer.json()["driver_id"] == "maria"

        await eventually(dispatched, within=20)
        tell("pedido-teste-01 is DISPATCHED to maria")


def tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(app())
