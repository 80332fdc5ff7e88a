"""The commands on the pages work as written, except for the ports."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress

import httpx
import psycopg
from psycopg.conninfo import make_conninfo

from gofleet.adapters.postgres.diagnostics import check_privileges
from gofleet.embedded import Postgres, RabbitMQ, Valkey
from gofleet.listening import free_port
from tests.databases import conninfo_of
from tests.docs.pages import ROOT, blocks
from tests.services import a_vhost

FREE = {"WEB_SERVER_PORT": 18_200, "GRPC_PORT": 15_200, "METRICS_PORT": 12_200}


def ports() -> dict[str, str]:
    return {name: str(free_port("127.0.0.1", first)) for name, first in FREE.items()}


@contextmanager
def typed(command: str, environment: dict[str, str]) -> Generator[subprocess.Popen[str]]:
    """The command, run in the repository's root; its process group is killed after the block."""
    # Runs in the environment of this test, which uv must not change meanwhile.
    command = command.replace("uv run gofleet", f"{sys.executable} -m gofleet")
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def until_ready(url: str, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            if httpx.get(f"{url}/health/ready", timeout=5, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        assert process.poll() in {None, 0}, process.communicate()[0]
        assert time.monotonic() < until, "never ready"
        time.sleep(0.1)


def test_the_demo_succeeds() -> None:
    first, second = (
        command.removeprefix("pip install uv && ").strip() for command in blocks("bash", ROOT / "README.md")
    )
    assert second == "uv run just test"

    with typed(f"{first} --json", ports()) as demo:
        out, _ = demo.communicate(timeout=110)

    summary = json.loads(out.splitlines()[-1])
    assert demo.returncode == 0, out
    assert summary == summary | {"event": "summary", "created": 200, "lost": 0, "good": True}


def test_ci_runs_the_test_command() -> None:
    recipe = subprocess.run(["just", "--show", "test"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "\nuv run just test\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^    uv run .*pytest ", recipe, re.M)


def test_the_walk_through_works_with_the_demo() -> None:
    environment = ports()
    url = f"http://localhost:{environment['WEB_SERVER_PORT']}"
    walk = "\n".join(blocks("bash walk")).replace("http://localhost:8000", url)

    with typed("uv run gofleet demo", environment) as demo:
        until_ready(url, demo)
        with typed(walk, {}) as walking:
            output, _ = walking.communicate(timeout=60)
        os.killpg(demo.pid, signal.SIGINT)
        out, _ = demo.communicate(timeout=60)

    assert walking.returncode == 0, output
    assert '"final_price":110.0' in output
    assert "201 Created" in output
    assert '"status":"DELIVERED"' in output
    assert "invalid-transition" in output
    at_sea = '"pickup":{"lat":-30.0,"lng":-20.0},"dropoff":null,"customer_id":null,"driver_id":'
    _, given, afterwards = output.partition(f'"status":"DISPATCHED",{at_sea}"maria"')
    assert given
    assert f'"status":"PENDING",{at_sea}null' in afterwards
    assert '{"items":[]}' in output
    assert "fingerprint" in output
    assert "held back" in output
    assert '"actor":"worker"' in output
    assert "event: orders.d" in output
    assert "event: driver.moved" in output
    assert '{"applied":2,"older":0,"refused":0}' in output
    assert '"name":"availability"' in output
    assert output.count("no-such-parked-message") == 2
    assert "everything stopped" in out


def test_the_roles_run_against_servers_of_ones_own(
    postgres_server: Postgres, valkey_server: Valkey, rabbit_server: RabbitMQ
) -> None:
    (commands,) = blocks("bash own")
    db, redis = postgres_server.address, valkey_server.address
    with a_vhost(rabbit_server) as rabbit, psycopg.connect(conninfo_of(postgres_server, "postgres")) as connection:
        connection.autocommit = True
        connection.execute("create database readme")
        given = {
            "DB_HOST=localhost": f"DB_HOST={db.host}",
            "DB_PORT=5432": f"DB_PORT={db.port}",
            "DB_USER=root": f"DB_USER={db.user}",
            "DB_PASSWORD=root": f"DB_PASSWORD={db.password}",
            "DB_NAME=gofleet": "DB_NAME=readme",
            "RABBITMQ_HOST=localhost": f"RABBITMQ_HOST={rabbit.host}",
            "AMQP_PORT=5672": f"AMQP_PORT={rabbit.port}",
            "REDIS_HOST=localhost": f"REDIS_HOST={redis.host}",
            "REDIS_PORT=6379": f"REDIS_PORT={redis.port}",
        }
        for words, ours in given.items():
            assert words in commands
            commands = commands.replace(words, ours)
        environment = {
            "RABBITMQ_USER": rabbit.user,
            "RABBITMQ_PASSWORD": rabbit.password,
            "RABBITMQ_VHOST": rabbit.vhost,
            "REDIS_PASSWORD": redis.password,
            "NAME_PREFIX": "readme.",
            **ports(),
        }
        del environment["METRICS_PORT"]  # four roles on one machine: each takes a free one
        url = f"http://127.0.0.1:{environment['WEB_SERVER_PORT']}"
        with typed(f"{commands}\nwait", environment) as roles:
            until_ready(url, roles)
            _dispatched(url)
            _proven(commands, environment)
            _healthy(commands, environment)
        connection.execute("drop database readme with (force)")


def _dispatched(url: str) -> None:
    """Wait until the seed's order is dispatched."""
    with httpx.Client(base_url=url, timeout=5, trust_env=False) as http:
        until = time.monotonic() + 60
        place = {"lat": -23.55, "lng": -46.63}
        while not http.put("/api/v1/drivers/ana", json={"name": "Ana"}).is_success:  # the fleet role may start last
            assert time.monotonic() < until
            time.sleep(0.1)
        http.put("/api/v1/drivers/ana/position", json=place).raise_for_status()
        http.post("/api/v1/orders", json={"id": "pedido-teste-01", "price": 100.0, "tax": 10.0}).raise_for_status()
        while http.get("/api/v1/orders/pedido-teste-01").json()["status"] != "DISPATCHED":
            assert time.monotonic() < until
            time.sleep(0.1)


def _proven(commands: str, environment: dict[str, str]) -> None:
    """Every invariant holds as soon as the last events were handled."""
    (proof,) = blocks("bash proof")
    given = "\n".join(line for line in commands.splitlines() if line.startswith("export "))
    until = time.monotonic() + 60
    while True:
        with typed(f"{given}\n{proof}", environment) as verifying:
            output, _ = verifying.communicate(timeout=60)
        if verifying.returncode == 0:
            break
        assert time.monotonic() < until, output
    assert output.splitlines()[-1] == "verdict: holds"
    assert output.count(" holds ") == 13


def _healthy(commands: str, environment: dict[str, str]) -> None:
    """The doctor finds no failure."""
    (visit,) = blocks("bash doctor")
    given = "\n".join(line for line in commands.splitlines() if line.startswith("export "))
    with typed(f"{given}\n{visit}", environment) as visiting:
        output, _ = visiting.communicate(timeout=60)
    assert visiting.returncode == 0, output


def test_the_documented_logins_have_the_privileges_of_their_roles(clean_database: str) -> None:
    (statements,) = (block for block in blocks("sql") if "create role" in block)
    logins = dict(re.findall(r"create role (\w+) login password '(.*)' in role gofleet_\1;", statements))
    assert len(logins) == statements.count("\n")
    with psycopg.connect(clean_database) as connection:
        connection.execute(statements.encode())
        connection.commit()
        try:
            for login, password in logins.items():
                check_privileges(make_conninfo(clean_database, user=login, password=password), [login])
        finally:
            for login in logins:
                connection.execute(f"drop role {login}".encode())


def test_every_operation_has_a_command() -> None:
    """The walk-through has a curl command for each operation of the OpenAPI document."""
    shown = set[tuple[str, str]]()
    for command in re.findall(r"curl (.*?)(?:\n(?! )|$)", "".join(blocks("bash walk")), re.S):
        method = re.search(r"-X (\w+)", command)
        path = re.search(r"http://localhost:8000([^\s\"?]*)", command)
        if path:
            shown.add((method[1] if method else "GET", path[1]))
    document = json.loads((ROOT / "proto" / "openapi.json").read_text(encoding="utf-8"))

    lacking = [
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
        if not any(
            each == method.upper() and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), one) for each, one in shown
        )
    ]

    assert lacking == []
