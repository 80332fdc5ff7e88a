"""How a process is doing, for orchestrators and Prometheus. Plain ASGI: every role serves it, few need more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gofleet import __version__
from gofleet.adapters.http.asgi import Receive, Scope, Send, respond
from gofleet.adapters.http.problem_types import ProblemType

JSON = "application/json"
PROBLEM = "application/problem+json"
CHECK_SECONDS = 2.0
REASON_CHARS_MAX = 200

HealthCheck = Callable[[], Awaitable[object]]


class HealthCheckResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one check found."""

    ok: bool
    why: str | None = None


@dataclass(frozen=True)
class HealthApp:
    """An ASGI application for `/health`, `/health/live`, `/health/ready` and `/metrics`.

    `checks` is read at every request, so parts may add theirs later. With `explain` off, failed checks are named
    without their reason: reasons name hosts and users, which is for the operations port only.
    """

    checks: Mapping[str, HealthCheck]
    roles: Sequence[str]
    stopping: Callable[[], bool] = lambda: False
    explain: bool = True
    check_seconds: float = CHECK_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _refuse(send, ProblemType.METHOD_NOT_ALLOWED, ("allow", "GET, HEAD"))
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
                await _refuse(send, ProblemType.NOT_FOUND)

    async def _report(self, send: Send, **more: object) -> None:
        names = list(self.checks)
        findings = await asyncio.gather(*(self._find(self.checks[name]) for name in names))
        stopping = self.stopping()
        ready = not stopping and all(finding.ok for finding in findings)
        body = {
            "status": "stopping" if stopping else "ready" if ready else "not ready",
            **more,
            "checks": dict(zip(names, findings, strict=True)),
        }
        # A stale answer would keep traffic coming: no cache on the way may keep it.
        await respond(send, 200 if ready else 503, JSON, msgspec.json.encode(body), ("cache-control", "no-store"))

    async def _find(self, check: HealthCheck) -> HealthCheckResult:
        try:
            async with asyncio.timeout(self.check_seconds):
                await check()
        except TimeoutError:
            return self._bad(f"no answer within {self.check_seconds:g} s")
        except Exception as error:  # a check may fail in any way; each is an answer
            return self._bad(f"{type(error).__name__}: {error}".splitlines()[0][:REASON_CHARS_MAX])
        return HealthCheckResult(ok=True)

    def _bad(self, why: str) -> HealthCheckResult:
        return HealthCheckResult(ok=False, why=why if self.explain else None)


async def _refuse(send: Send, slug: ProblemType, *headers: tuple[str, str]) -> None:
    status, title = slug.meaning.status, slug.meaning.title
    body = msgspec.json.encode({"type": slug.uri, "title": title, "status": status})
    await respond(send, status, PROBLEM, body, *headers)
