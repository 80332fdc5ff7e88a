"""Shared parts of the roles that need no server."""

from __future__ import annotations

import asyncio
from functools import partial

import httpx
import pytest

from gofleet import parts
from gofleet.adapters.http.server import PortInUse
from gofleet.embedded.resources import free_ports
from gofleet.process import Process
from gofleet.settings import Settings, load
from tests.waiting import eventually


def the_defaults_but(name: str, value: str) -> Settings:
    """Settings with this default, which was not set explicitly."""
    settings = load({name: value}, dotenv=None)
    del settings.sources[name]
    return settings


async def test_four_roles_on_one_machine_get_different_metrics_ports() -> None:
    first = free_ports(1)[0]
    processes = [Process(the_defaults_but("METRICS_PORT", str(first)), [f"role-{number}"]) for number in range(4)]
    running = [asyncio.create_task(process.run([parts.operations])) for process in processes]
    try:
        for process in processes:
            await eventually(partial(_started, process), within=20)
        async with httpx.AsyncClient(trust_env=False) as http:
            answers = [await http.get(f"http://127.0.0.1:{first + number}/health") for number in range(4)]
        assert {answer.json()["roles"][0] for answer in answers} == {f"role-{number}" for number in range(4)}
    finally:
        for process in processes:
            process.stopping.set()
        await asyncio.gather(*running)


async def _started(process: Process) -> bool:
    try:
        await process.checks["started"]()
    except RuntimeError:
        return False
    return True


async def test_an_explicit_port_must_be_free() -> None:
    port = free_ports(1)[0]
    first, second = (Process(load({"METRICS_PORT": str(port)}, dotenv=None), ["role"]) for _ in range(2))
    running = asyncio.create_task(first.run([parts.operations]))
    await eventually(lambda: _started(first))

    with pytest.raises(PortInUse):
        await second.run([parts.operations])

    first.stopping.set()
    await running
