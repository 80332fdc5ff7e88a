"""Timeouts of outgoing calls bound the whole call: a server that answers byte by byte cannot prolong it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from gofleet.adapters.rabbit import diagnostics
from gofleet.adapters.rabbit.connection import RabbitServer
from gofleet.adapters.rabbit.topology import Topology
from gofleet.cli import api_client, doctor, login
from gofleet.cli.errors import CliError
from gofleet.doctor import roles
from gofleet.domain.errors import Unavailable
from gofleet.embedded.resources import exchange
from tests.auth.provider import Page, Provider, a_provider

BODY = b'{"checks": {}, "items": []}' + b" " * 1000
DRIP_SECONDS, TIMEOUT_SECONDS, WITHIN_SECONDS = 0.05, 1.0, 10.0


async def request(provider: Provider) -> None:
    with pytest.raises(CliError, match="no answer from") as refused:
        await asyncio.to_thread(api_client.call_api, "GET", provider.url, "/orders")
    assert "within 1 s" in refused.value.why


async def log_in(provider: Provider) -> None:
    with httpx.Client() as http, pytest.raises(CliError, match="no answer from"):
        await asyncio.to_thread(login._request, http, "GET", provider.url)  # pyright: ignore[reportPrivateUsage]


async def check_health(provider: Provider) -> None:
    with pytest.raises(SystemExit, match="1"):
        await asyncio.to_thread(doctor.health_command, url=provider.url)


async def diagnose(provider: Provider) -> None:
    assert await roles.fetch_health(provider.url) == "no answer within 1 s"


async def read_queues(provider: Provider) -> None:
    with pytest.raises(Unavailable, match="management"):
        await diagnostics.held_by_consumers(provider.url, RabbitServer(), Topology())


async def probe(provider: Provider) -> None:
    port = urlsplit(provider.url).port or 0
    text = b"GET /health HTTP/1.0\r\n\r\n"
    found = await asyncio.to_thread(exchange, port, text, timeout_seconds=TIMEOUT_SECONDS, bytes_min=1000)
    assert found == b""


Call = tuple[Callable[[Provider], Any], Any, str]
CALLS: dict[str, Call] = {
    "command line": (request, api_client, "TIMEOUT_SECONDS"),
    "login": (log_in, login, "TIMEOUT_SECONDS"),
    "health check": (check_health, doctor, "HEALTH_SECONDS"),
    "doctor": (diagnose, roles, "HEALTH_TIMEOUT_SECONDS"),
    "RabbitMQ's management API": (read_queues, diagnostics, "MANAGEMENT_SECONDS"),
    "servers of the demo": (probe, None, ""),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
async def test_a_call_ends_in_time(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    act, module, setting = call
    if module is not None:
        monkeypatch.setattr(module, setting, TIMEOUT_SECONDS)
    async with a_provider() as provider:
        for path in ("/", "/health", "/health/ready", "/api/v1/orders", "/api/queues//"):
            provider.pages[path] = Page(200, BODY, drip_seconds=DRIP_SECONDS)
        async with asyncio.timeout(WITHIN_SECONDS):
            await act(provider)
        assert provider.requests
