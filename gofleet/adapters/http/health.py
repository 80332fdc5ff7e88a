"""Health and metrics endpoints of every role, as a plain ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gofleet import __version__
from gofleet.adapters.http.asgi import Receive, Scope, Send, respond
from gofleet.adapters.http.problem_types import MEDIA_TYPE, ProblemType

JSON = "application/json"
PROBE_PATHS = ["/health", "/health/live", "/health/ready"]
"""Neither limited by rate nor bound to a Host, on the API's port either: an orchestrator must not be refused."""
CHECK_SECONDS = 2.0
REASON_CHARS_MAX = 200

HealthCheck = Callable[[], Awaitable[object]]


class HealthCheckResult(msgspec.Struct, frozen=True, omit_defaults=True):
    ok: bool
    why: str | None = None


@dataclass(eq=False)
class HealthApp:
    """ASGI application for `/health`, `/health/live`, `/health/ready` and `/metrics`.

    `checks` is read at each request, so that parts can add theirs after the start. With `explain` off, failed checks
    are listed without a reason: reasons name hosts and users and belong on the operations port only.
    """

    checks: Mapping[str, HealthCheck]
    roles: Sequence[str]
    stopping: Callable[[], bool] = lambda: False
    explain: bool = True
    check_seconds: float = CHECK_SECONDS
    _checking: asyncio.Task[dict[str, HealthCheckResult]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _send_problem(send, ProblemType.METHOD_NOT_ALLOWED, ("allow", "GET, HEAD"))
            return
        match scope["path"].rstrip("/"):
            case "/health/live":
                await respond(send, 200, JSON, b'{"status":"alive"}')
            case "/health/ready":
                await self._report(send)
            case "/health":
                await self._report(send, version=__version__, roles=list(self.roles))
            case "/metrics":
                await respond(send, 200, CONTENT_TYPE_LATEST, generate_latest())
            case _:
                await _send_problem(send, ProblemType.NOT_FOUND)

    async def _report(self, send: Send, **more: object) -> None:
        results = await self._check_all()
        stopping = self.stopping()
        ready = not stopping and all(result.ok for result in results.values())
        body = {
            "status": "stopping" if stopping else "ready" if ready else "not ready",
            **more,
            "checks": results,
        }
        # A cached response would keep traffic coming to a process that is not ready.
        await respond(send, 200 if ready else 503, JSON, msgspec.json.encode(body), ("cache-control", "no-store"))

    async def _check_all(self) -> dict[str, HealthCheckResult]:
        """The results of all checks. Requests that arrive meanwhile share them: any caller may send any number."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._run_all())
        return await asyncio.shield(self._checking)

    async def _run_all(self) -> dict[str, HealthCheckResult]:
        names = list(self.checks)
        results = await asyncio.gather(*(self._run(self.checks[name]) for name in names))
        return dict(zip(names, results, strict=True))

    async def _run(self, check: HealthCheck) -> HealthCheckResult:
        try:
            async with asyncio.timeout(self.check_seconds):
                await check()
        except TimeoutError:
            return self._failure(f"no answer within {self.check_seconds:g} s")
        except Exception as error:  # any failure of a check is a result
            return self._failure(f"{type(error).__name__}: {error}".splitlines()[0][:REASON_CHARS_MAX])
        return HealthCheckResult(ok=True)

    def _failure(self, why: str) -> HealthCheckResult:
        return HealthCheckResult(ok=False, why=why if self.explain else None)


async def _send_problem(send: Send, kind: ProblemType, *headers: tuple[str, str]) -> None:
    body = msgspec.json.encode({"type": kind.uri, "title": kind.title, "status": kind.status})
    await respond(send, kind.status, MEDIA_TYPE, body, *headers)
