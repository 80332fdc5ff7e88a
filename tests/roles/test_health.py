"""Health and metrics of a process, as an orchestrator and Prometheus read them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest

from gofleet import __version__
from gofleet.adapters.http.health import HealthApp, HealthCheck
from gofleet.adapters.http.server import serving


@asynccontextmanager
async def asking(operations: HealthApp) -> AsyncGenerator[httpx.AsyncClient]:
    async with (
        serving(operations, "127.0.0.1", 0) as listening,
        httpx.AsyncClient(base_url=listening.url) as client,
    ):
        yield client


async def fine() -> None:
    pass


async def refused() -> None:
    raise ConnectionError("connection refused by 10.1.2.3\nsecond line")


async def hung() -> None:
    await asyncio.Event().wait()


async def test_a_process_whose_checks_pass_is_ready() -> None:
    async with asking(HealthApp({"postgres": fine, "rabbitmq": fine}, roles=["api"])) as client:
        answer = await client.get("/health/ready")

    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "checks": {"postgres": {"ok": True}, "rabbitmq": {"ok": True}}}
    assert answer.headers["cache-control"] == "no-store"


async def test_a_failed_check_makes_the_process_unready_with_its_reason() -> None:
    async with asking(HealthApp({"postgres": refused, "rabbitmq": fine}, roles=["api"])) as client:
        answer = await client.get("/health/ready")

    assert answer.status_code == 503
    assert answer.json() == {
        "status": "not ready",
        "checks": {
            "postgres": {"ok": False, "why": "ConnectionError: connection refused by 10.1.2.3"},
            "rabbitmq": {"ok": True},
        },
    }


async def test_a_hanging_check_times_out() -> None:
    async with asking(HealthApp({"redis": hung}, roles=["fleet"], check_seconds=0.05)) as client:
        answer = await client.get("/health/ready")

    assert answer.status_code == 503
    assert answer.json()["checks"] == {"redis": {"ok": False, "why": "no answer within 0.05 s"}}


async def test_checks_run_concurrently() -> None:
    all_checks = asyncio.Barrier(3)

    async def meet() -> None:
        await all_checks.wait()  # one after another they would never meet

    checks: dict[str, HealthCheck] = {"one": meet, "two": meet, "three": meet}
    async with asking(HealthApp(checks, roles=["api"])) as client:
        assert (await client.get("/health/ready")).status_code == 200


async def test_a_stopping_process_is_alive_but_not_ready() -> None:
    stopping = asyncio.Event()
    async with asking(HealthApp({"postgres": fine}, roles=["api"], stopping=stopping.is_set)) as client:
        before = await client.get("/health/ready")
        stopping.set()
        after = await client.get("/health/ready")
        alive = await client.get("/health/live")

    assert (before.status_code, after.status_code, after.json()["status"]) == (200, 503, "stopping")
    assert alive.status_code == 200


async def test_a_process_is_alive_whatever_its_checks_say() -> None:
    async with asking(HealthApp({"postgres": refused, "redis": hung}, roles=["api"])) as client:
        assert (await client.get("/health/live")).json() == {"status": "alive"}


async def test_health_has_version_and_roles() -> None:
    async with asking(HealthApp({"postgres": fine}, roles=["api", "relay"])) as client:
        health = (await client.get("/health")).json()

    assert (health["status"], health["version"], health["roles"]) == ("ready", __version__, ["api", "relay"])


async def test_a_check_that_a_part_adds_later_counts() -> None:
    checks: dict[str, HealthCheck] = {}
    async with asking(HealthApp(checks, roles=["api"])) as client:
        before = await client.get("/health/ready")
        checks["rabbitmq"] = refused
        after = await client.get("/health/ready")

    assert (before.status_code, after.status_code) == (200, 503)


async def test_reasons_are_for_the_operations_port_only() -> None:
    async with asking(HealthApp({"postgres": refused}, roles=["api"], explain=False)) as client:
        answer = await client.get("/health")

    assert answer.status_code == 503
    assert answer.json()["checks"] == {"postgres": {"ok": False}}
    assert "10.1.2.3" not in answer.text


async def test_metrics_are_in_prometheus_format() -> None:
    async with asking(HealthApp({}, roles=["api"])) as client:
        answer = await client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "# TYPE gofleet_http_request_duration_seconds histogram" in answer.text


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nope", 404), ("POST", "/health", 405)])
async def test_other_paths_are_not_found(method: str, path: str, status: int) -> None:
    async with asking(HealthApp({}, roles=["api"])) as client:
        assert (await client.request(method, path)).status_code == status
