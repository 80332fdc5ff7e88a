"""The issuer's public keys, kept while they are fresh, and while the issuer is away."""

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

Key = RSAKey | ECKey
Fetch = Callable[[], Awaitable[Mapping[str, Key]]]
"""The keys by their `kid`. `Unavailable`, or anything else, when they cannot be had."""


@dataclass(frozen=True)
class RefreshPolicy:
    """After `fresh_seconds` keys are fetched again; at most one fetch is begun in `between_seconds`, whatever tokens
    come (`first_seconds` until there are any keys); keys are trusted for `keep_seconds` without the issuer."""

    fresh_seconds: float = 600.0
    between_seconds: float = 30.0
    first_seconds: float = 2.0
    keep_seconds: float = 86_400.0


class JwksCache:
    """Nobody who has a key waits for the issuer: what is no longer fresh is fetched beside the requests."""

    def __init__(
        self, fetch: Fetch, patience: RefreshPolicy | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._fetch = fetch
        self._patience = patience or RefreshPolicy()
        self._clock = clock
        self._keys: Mapping[str, Key] = {}
        self._fetched_at = self._tried_at = -inf
        self._fetching: asyncio.Task[None] | None = None

    def cached(self, kid: str) -> Key | None:
        """The key of that name, if it is here and can be trusted; what is not fresh is fetched meanwhile."""
        if self._age() > self._patience.fresh_seconds:
            self._fetched()
        return self._keys.get(kid) if self._age() <= self._patience.keep_seconds else None

    async def get(self, kid: str) -> Key:
        """The key of that name. `Unauthenticated` if the issuer has none, `Unavailable` if no keys could be had."""
        found = self.cached(kid)
        if found is None and (fetching := self._fetched()) is not None:
            await asyncio.shield(fetching)  # whoever gives up waiting must not take it from the others
            found = self.cached(kid)
        if found is not None:
            return found
        if self._age() > self._patience.keep_seconds:
            raise Unavailable("the issuer of tokens", "its keys could not be fetched", self._patience.first_seconds)
        raise Unauthenticated("the token is signed with a key that the issuer does not have")

    async def wait_settled(self) -> None:
        """When no fetch is under way."""
        if self._fetching is not None:
            await asyncio.wait({self._fetching})

    async def close(self) -> None:
        if self._fetching is not None:
            await cancel_and_wait(self._fetching)

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    def _fetched(self) -> asyncio.Task[None] | None:
        """The fetch that is under way, begun now if one may; None if it is too early for the next."""
        if self._fetching is None or self._fetching.done():
            pause = self._patience.between_seconds if self._keys else self._patience.first_seconds
            if self._clock() - self._tried_at < pause:
                return None
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._refresh())
        return self._fetching

    async def _refresh(self) -> None:
        try:
            keys = await self._fetch()
        except Exception as error:  # however the issuer fails, those who have a key go on
            logger.warning("the issuer's keys could not be fetched: {}", str(error) or type(error).__name__)
            return
        if keys.keys() != self._keys.keys():
            logger.bind(kids=sorted(keys)).info("keys of the issuer")
        self._keys, self._fetched_at = keys, self._clock()
