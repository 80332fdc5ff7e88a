"""Cache of the issuer's public keys, refreshed in the background and usable while the issuer is unavailable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from math import inf
from time import monotonic

from joserfc.jwk import ECKey, RSAKey
from loguru import logger

from gofleet.domain.errors import Unauthenticated, Unavailable
from gofleet.waiting import cancel_and_wait

ISSUER = "the token issuer"
Key = RSAKey | ECKey
Fetch = Callable[[], Awaitable[Mapping[str, Key]]]
"""Returns the keys by their `kid`; raises `Unavailable`, or any other error, if they cannot be fetched."""


BeforeWait = Callable[[], Awaitable[None]]
"""Awaited before a caller waits for a fetch; raises an error if it may not."""


async def do_nothing() -> None:
    pass


@dataclass(frozen=True)
class RefreshPolicy:
    """After `fresh_seconds` keys are fetched again; at most one fetch starts within `between_seconds`, whatever tokens
    arrive (`first_seconds` while there are none); keys are trusted for `keep_seconds` without the issuer. At most
    `waiters_max` callers wait for a fetch."""

    fresh_seconds: float = 600.0
    between_seconds: float = 30.0
    first_seconds: float = 2.0
    keep_seconds: float = 86_400.0
    waiters_max: int = 100


class JwksCache:
    """A request whose key is cached never waits for the issuer: stale keys are refreshed in the background."""

    def __init__(
        self, fetch: Fetch, policy: RefreshPolicy | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._fetch = fetch
        self._policy = policy or RefreshPolicy()
        self._clock = clock
        self._keys: Mapping[str, Key] = {}
        self._fetched_at = self._tried_at = -inf
        self._fetching: asyncio.Task[None] | None = None
        self._waiting = 0

    def cached(self, kid: str) -> Key | None:
        """The cached key of that id, if it may still be trusted; starts a fetch if the keys are not fresh."""
        if self._age() > self._policy.fresh_seconds:
            self._fetch_started()
        return self._keys.get(kid) if self._is_trusted() else None

    async def get(self, kid: str, before_wait: BeforeWait = do_nothing) -> Key:
        """The key of that id. `Unauthenticated` if the issuer has none, `Unavailable` if no keys could be fetched or
        too many callers wait for them, and what `before_wait` raises."""
        key = self.cached(kid)
        if key is None and (fetching := self._fetch_started()) is not None:
            await before_wait()
            await self._wait(fetching)
            key = self.cached(kid)
        if key is not None:
            return key
        if not self._is_trusted():
            raise Unavailable(ISSUER, "its keys could not be fetched", self._policy.first_seconds)
        raise Unauthenticated("the token is signed with a key that the issuer does not have")

    async def _wait(self, fetching: asyncio.Task[None]) -> None:
        if self._waiting >= self._policy.waiters_max:
            raise Unavailable(ISSUER, f"{self._waiting} requests wait for its keys", self._policy.first_seconds)
        self._waiting += 1
        try:
            await asyncio.shield(fetching)  # a cancelled caller must not cancel the fetch of the others
        finally:
            self._waiting -= 1

    async def wait_settled(self) -> None:
        """Wait until no fetch is in flight."""
        if self._fetching is not None:
            await asyncio.wait({self._fetching})

    async def close(self) -> None:
        if self._fetching is not None:
            await cancel_and_wait(self._fetching)

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    def _is_trusted(self) -> bool:
        return self._age() <= self._policy.keep_seconds

    def _fetch_started(self) -> asyncio.Task[None] | None:
        """The fetch in flight, started now if the policy allows it; None if it is too early for the next one."""
        if self._fetching is None or self._fetching.done():
            pause = self._policy.between_seconds if self._is_trusted() else self._policy.first_seconds
            if self._clock() - self._tried_at < pause:
                return None
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._refresh())
        return self._fetching

    async def _refresh(self) -> None:
        try:
            keys = await self._fetch()
        except Exception as error:  # whatever the failure, cached keys stay in use
            logger.warning("cannot fetch the issuer's keys: {}", str(error) or type(error).__name__)
            return
        if keys.keys() != self._keys.keys():
            logger.bind(kids=sorted(keys)).info("fetched new issuer keys")
        self._keys, self._fetched_at = keys, self._clock()
