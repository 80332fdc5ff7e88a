"""A careful client: it retries until it gets a response, at one address after the other, and records the responses."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos.ledger import Ledger

TRY_SECONDS = 4.0
INSIST_SECONDS = 75.0
PAUSE_SECONDS = 0.15


@dataclass(frozen=True)
class Answer:
    """What an API said at last."""

    status: int
    body: dict[str, Any]

    @property
    def ok(self) -> bool:
        return self.status < 300


@dataclass
class Failure:
    """One try that got no proper answer although it reached an API."""

    what: str
    why: str
    at: float


@dataclass
class Client:
    """`addresses` tells where the APIs are at this moment. `failures` are tries that reached one in vain."""

    http: httpx.AsyncClient
    addresses: Callable[[], Sequence[str]]
    ledger: Ledger
    failures: list[Failure] = field(default_factory=list[Failure])
    seconds: list[float] = field(default_factory=list[float])
    insist_seconds: float = INSIST_SECONDS
    _turn: int = 0

    async def act(
        self,
        act: str,
        order_id: str,
        path: str = "",
        *,
        body: dict[str, Any] | None = None,
        if_match: int | None = None,
    ) -> Answer | None:
        """Do something to an order and put the outcome in the ledger; None if it was never answered."""
        method = {"get": "GET", "change": "PATCH"}.get(act, "POST")
        headers = {} if if_match is None else {"if-match": f'"{if_match}"'}
        answer, tries = await self._insist(method, f"/api/v1/orders{path}", body, headers)
        self.ledger.write(
            act,
            order_id,
            request=body,
            status=answer and answer.status,
            response=answer and answer.body,
            tries=tries,
        )
        return answer

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer | None:
        """The same without a trace in the ledger, and one try at each address only."""
        for _ in range(max(1, len(self.addresses()))):
            answer, _why = await self._try(method, path, body, {})
            if answer is not None and answer.status < 500:
                return answer
        return None

    async def _insist(
        self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]
    ) -> tuple[Answer | None, int]:
        until, tries = time.monotonic() + self.insist_seconds, 0
        while time.monotonic() < until:
            tries += 1
            answer, refused = await self._try(method, path, body, headers)
            if answer is not None and answer.status not in (408, 429) and answer.status < 500:
                return answer, tries
            await asyncio.sleep(0.02 if refused else PAUSE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311
        return None, tries

    async def _try(
        self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]
    ) -> tuple[Answer | None, bool]:
        """The response or None; and whether no server accepted, which a load balancer would answer by itself."""
        addresses = self.addresses()
        if not addresses:
            return None, False
        self._turn += 1
        url = addresses[self._turn % len(addresses)] + path
        started = time.monotonic()
        try:
            found = await self.http.request(method, url, json=body, headers=headers, timeout=TRY_SECONDS)
        except httpx.ConnectError:
            return None, True
        except httpx.TransportError as error:
            self._note(method, path, type(error).__name__, started)
            return None, False
        self.seconds.append(time.monotonic() - started)
        if found.status_code >= 500:
            self._note(method, path, f"{found.status_code} {found.text[:200]}", started)
        content: Any = found.json() if found.content else {}
        return Answer(found.status_code, content if isinstance(content, dict) else {}), False  # pyright: ignore[reportUnknownArgumentType]

    def _note(self, method: str, path: str, why: str, at: float) -> None:
        self.failures.append(Failure(f"{method} {path}", why, at))
