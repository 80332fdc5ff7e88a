"""The simulated city retries as integrators should, and treats a refusal as a defect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx
import pytest

from gofleet.cli.errors import to_cli_error
from gofleet.simulation import api as api_module
from gofleet.simulation.api import RetryingApi, UnexpectedResponse, register_drivers
from gofleet.simulation.city import City
from tests.makers import CENTRE

Answer = httpx.Response | Exception
ORDER = {"id": "o-1", "price": 1.0}


class Script:
    """Answers of an API, one for each request; the last one is repeated."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of every pause, none of which is made."""
    found: list[float] = []
    sleep = asyncio.sleep

    async def pause(seconds: float) -> None:
        found.append(seconds)
        await sleep(0)

    monkeypatch.setattr(api_module.asyncio, "sleep", pause)
    return found


@pytest.fixture
async def talking_to() -> AsyncGenerator[Callable[[Script], RetryingApi]]:
    clients: list[httpx.AsyncClient] = []

    def make(script: Script) -> RetryingApi:
        clients.append(httpx.AsyncClient(transport=httpx.MockTransport(script), base_url="http://api"))
        return RetryingApi(clients[-1])

    yield make
    for client in clients:
        await client.aclose()


def answer(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={}, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (httpx.ReadError("reset"), "no answer"),
        (httpx.RemoteProtocolError("disconnected"), "no answer"),
        (httpx.ConnectError("refused"), "no answer"),
        (httpx.ReadTimeout("slow"), "timeout"),
        (httpx.PoolTimeout("slow"), "timeout"),
        (answer(429, Retry_After="1"), "rate limited"),
        (answer(502), "unavailable"),
        (answer(503, Retry_After="1"), "unavailable"),
        (answer(504), "unavailable"),
        (answer(500), "server error"),
    ],
)
async def test_the_same_request_is_repeated_and_counted_by_reason(
    pauses: list[float], talking_to: Callable[[Script], RetryingApi], failure: Answer, reason: str
) -> None:
    script = Script(failure, failure, answer(201))
    api = talking_to(script)

    response = await api.request("POST", "/orders", body=ORDER)

    assert response.status_code == 201
    assert [request.content for request in script.requests] == [script.requests[0].content] * 3
    assert b'"o-1"' in script.requests[0].content
    assert api.retries.counts == {reason: 2}
    assert str(api.retries) == f"2 ({reason} 2)"
    assert len(pauses) == 2


async def test_retry_after_is_honoured_up_to_a_minute(
    pauses: list[float], talking_to: Callable[[Script], RetryingApi]
) -> None:
    dated = answer(503, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT")
    script = Script(answer(503, Retry_After="7"), answer(429, Retry_After="86400"), dated, answer(200))

    await talking_to(script).request("GET", "/orders")

    assert pauses[:2] == [7.0, 60.0]
    assert 0 < pauses[2] <= 5


async def test_pauses_grow_to_a_limit(pauses: list[float], talking_to: Callable[[Script], RetryingApi]) -> None:
    lost = [httpx.ConnectError("refused") for _ in range(20)]

    await talking_to(Script(*lost, answer(200))).request("GET", "/orders")

    assert len(pauses) == 20
    assert pauses[0] <= 0.2
    assert all(2.5 <= pause <= 5 for pause in pauses[8:])


async def test_an_outage_is_measured_until_the_next_answer(
    pauses: list[float], talking_to: Callable[[Script], RetryingApi]
) -> None:
    api = talking_to(Script(httpx.ReadError(""), answer(200)))
    seen: list[bool] = []
    sleep = asyncio.sleep

    async def look(seconds: float) -> None:
        seen.append(api.retries.away_since is not None)
        await sleep(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api_module.asyncio, "sleep", look)
        await api.request("GET", "/orders")

    assert seen == [True]
    assert (api.retries.away_since, api.retries.away_seconds) == (None, 0.0)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 422])
async def test_a_rejected_request_is_a_defect_and_is_named(
    talking_to: Callable[[Script], RetryingApi], status: int
) -> None:
    script = Script(httpx.Response(status, json={"title": "Conflict", "detail": "the id is taken"}))

    with pytest.raises(UnexpectedResponse) as caught:
        await talking_to(script).request("POST", "/orders", body=ORDER)

    assert len(script.requests) == 1
    error = to_cli_error(ExceptionGroup("a role failed", [ExceptionGroup("tasks", [caught.value])]))
    assert error is not None
    assert "POST /orders {'id': 'o-1', 'price': 1.0}" in error.why
    assert f"{status}" in error.why
    assert "the id is taken" in error.why
    assert "defect" in error.fix


async def test_an_expected_error_status_is_returned(talking_to: Callable[[Script], RetryingApi]) -> None:
    response = await talking_to(Script(answer(409))).request("POST", "/orders/o-1/deliver", accept=(409,))

    assert response.status_code == 409


async def test_drivers_are_registered_several_at_a_time(talking_to: Callable[[Script], RetryingApi]) -> None:
    busy = most = 0
    sleep = asyncio.sleep

    async def register(request: httpx.Request) -> httpx.Response:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await sleep(0.001)
        busy -= 1
        return answer(200)

    registered: list[Any] = []
    drivers = list(City(CENTRE, 1, 500).drivers.values())
    async with httpx.AsyncClient(transport=httpx.MockTransport(register), base_url="http://api") as http:
        await register_drivers(RetryingApi(http), drivers, lambda: registered.append(None))

    assert len(registered) == 500
    assert 10 <= most <= 20


async def test_the_first_refused_driver_ends_the_registration(talking_to: Callable[[Script], RetryingApi]) -> None:
    script = Script(answer(422))

    with pytest.raises(UnexpectedResponse, match="PUT /drivers/driver-001"):
        await register_drivers(talking_to(script), City(CENTRE, 1, 500).drivers.values())

    assert len(script.requests) <= 20
