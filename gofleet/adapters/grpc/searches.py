"""Searches that are made while others are under way go together into one call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from grpclib import GRPCError, Status

from gofleet.adapters.batcher import Batcher
from gofleet.adapters.grpc.answers import decode_candidates
from gofleet.adapters.grpc.connection import FleetConnection, metadata
from gofleet.adapters.grpc.pb import SearchDriverRequest
from gofleet.adapters.grpc.search_columns import (
    SEARCHES_MAX,
    SearchItem,
    SearchOutcome,
    decode_outcomes,
    encode_searches,
)
from gofleet.domain.driver import Candidate
from gofleet.domain.errors import FleetUnavailable
from gofleet.ports import Search

AT_ONCE = 2
SINGLY_SECONDS = 30.0
"""For how long a service that does not know such calls, being older than we are, is not asked again."""
NOT_TOGETHER = {Status.UNIMPLEMENTED, Status.INVALID_ARGUMENT, Status.RESOURCE_EXHAUSTED}
"""It takes no such call, or not so large a one: that is no fault of any of the searches."""
GRACE_SECONDS = 0.05
"""The call ends first when it and its callers are due together, for it knows why, and counts it."""


class Searches:
    """Each ends within the connection's `timeout_seconds` as if it had a call of its own, and so it has while it is
    the only one."""

    def __init__(self, connection: FleetConnection) -> None:
        self._connection = connection
        self._together = Batcher(self._ask, max_size=SEARCHES_MAX, concurrency=AT_ONCE)
        self._singly_until = 0.0

    async def __call__(self, search: Search, traceparent: str | None) -> list[Candidate]:
        """Raises as the status tells that it was answered with, or `FleetUnavailable`."""
        lat, lng = search.pickup.lat, search.pickup.lng
        asked = SearchItem(search.order_id, lat, lng, search.radius_km, search.limit, search.exclude, traceparent)
        try:
            async with asyncio.timeout(self._connection.timeout_seconds + GRACE_SECONDS):
                return await self._together(asked)
        except TimeoutError as error:
            raise FleetUnavailable("no answer in time") from error

    async def _ask(self, searches: Sequence[SearchItem]) -> Sequence[SearchOutcome]:
        now = asyncio.get_running_loop().time()
        if len(searches) == 1 or now < self._singly_until:
            return await asyncio.gather(*map(self._ask_one, searches))
        line = self._connection
        try:
            with line.reaching(len(searches)):
                answer = await line.stub.search_drivers(encode_searches(searches), timeout=line.timeout_seconds)
        except GRPCError as error:
            if error.status is Status.UNIMPLEMENTED:
                self._singly_until = now + SINGLY_SECONDS
            if error.status in NOT_TOGETHER:
                return await asyncio.gather(*map(self._ask_one, searches))
            return [error] * len(searches)
        return decode_outcomes(answer, len(searches))

    async def _ask_one(self, search: SearchItem) -> SearchOutcome:
        line = self._connection
        request = SearchDriverRequest(
            order_id=search.order_id,
            pickup_lat=search.pickup_lat,
            pickup_lng=search.pickup_lng,
            radius_km=search.radius_km,
            limit=search.limit,
            exclude=list(search.exclude),
        )
        try:
            with line.reaching():
                answer = await line.stub.search_driver(
                    request, timeout=line.timeout_seconds, metadata=metadata(search.traceparent)
                )
            return decode_candidates(answer)
        except (GRPCError, FleetUnavailable) as error:
            return error
