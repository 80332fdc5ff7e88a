"""HTTP client that survives outages as integrators should: the same request again, after the time in Retry-After.

Requests carry their ids, so a repetition has no second effect.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from gofleet.simulation.city import SimulatedDriver

BACKOFF_MIN_SECONDS, BACKOFF_MAX_SECONDS = 0.2, 5.0
RETRY_AFTER_MAX_SECONDS = 60.0
CONCURRENCY = 20
NO_ANSWER, TIMED_OUT, RATE_LIMITED, UNAVAILABLE, SERVER_ERROR = (
    "no answer",
    "timeout",
    "rate limited",
    "unavailable",
    "server error",
)


class UnexpectedResponse(Exception):
    """The API refused a request of the simulation, which is a defect of one of them."""

    def __init__(self, request: str, response: httpx.Response) -> None:
        super().__init__(f"{request}: {response.status_code} {response.text}")
        self.response = response


@dataclass
class Retries:
    """Retried calls by reason, and since when the API has not answered (None while it answers)."""

    counts: Counter[str] = field(default_factory=Counter[str])
    away_since: float | None = None

    @property
    def away_seconds(self) -> float:
        return 0.0 if self.away_since is None else time.monotonic() - self.away_since

    def answered(self) -> None:
        self.away_since = None

    def record(self, reason: str) -> None:
        """Count a call that is repeated."""
        self.counts[reason] += 1
        if reason != RATE_LIMITED and self.away_since is None:
            self.away_since = time.monotonic()

    def __str__(self) -> str:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(self.counts.items()))
        return f"{self.counts.total()} ({reasons})" if reasons else "0"


@dataclass
class RetryingApi:
    """Requests to the API below `/api/v1`, repeated until it answers; cancel a call to end it."""

    http: httpx.AsyncClient
    retries: Retries = field(default_factory=Retries)
    _random: Random = field(default_factory=Random)

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
    ) -> httpx.Response:
        """The successful response, or one with a status in `accept`; UnexpectedResponse for any other 4xx."""
        backoff = BACKOFF_MIN_SECONDS
        while True:
            wait = backoff * self._random.uniform(0.5, 1.0)
            try:
                response = await self.http.request(method, f"/api/v1{path}", json=body, params=query)
            except httpx.UnsupportedProtocol:
                raise
            except httpx.TimeoutException:
                self.retries.record(TIMED_OUT)
            except httpx.TransportError:
                self.retries.record(NO_ANSWER)
            else:
                reason = _reason_to_retry(response.status_code)
                if reason is None:
                    self.retries.answered()
                    if response.is_success or response.status_code in accept:
                        return response
                    raise UnexpectedResponse(f"{method} {path} {body or ''}".rstrip(), response)
                self.retries.record(reason)
                wait = max(wait, _retry_after(response))
            await asyncio.sleep(wait)
            backoff = min(backoff * 2, BACKOFF_MAX_SECONDS)


async def register_drivers(
    api: RetryingApi, drivers: Iterable[SimulatedDriver], on_registered: Callable[[], None] = lambda: None
) -> None:
    """Register drivers, or replace them, several at a time."""

    async def register(driver: SimulatedDriver) -> None:
        await api.request("PUT", f"/drivers/{driver.id}", body={"name": driver.name})
        on_registered()

    await run_limited(register(driver) for driver in drivers)


async def run_limited(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all coroutines, CONCURRENCY at a time; the first failure cancels the others."""
    remaining = iter(work)

    async def run() -> None:
        for each in remaining:
            await each

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENCY):
                group.create_task(run())
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


def _reason_to_retry(status: int) -> str | None:
    match status:
        case 429:
            return RATE_LIMITED
        case 502 | 503 | 504:
            return UNAVAILABLE
        case _:
            return SERVER_ERROR if status >= httpx.codes.INTERNAL_SERVER_ERROR else None


def _retry_after(response: httpx.Response) -> float:
    """Seconds of Retry-After; 0 without one, or if it is a date."""
    value = response.headers.get("Retry-After", "")
    return min(float(value), RETRY_AFTER_MAX_SECONDS) if value.isdecimal() else 0.0
