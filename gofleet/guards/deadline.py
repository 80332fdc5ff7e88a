"""A hard limit on one try at handling a message, shorter than the lease that protects it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from gofleet.domain.errors import DeadlineExceeded
from gofleet.domain.messages import Delivery, Handler, Outcome


@dataclass(frozen=True)
class Deadline:
    handler: Handler
    seconds: float

    async def __call__(self, delivery: Delivery) -> Outcome:
        limit = asyncio.timeout(self.seconds)
        try:
            async with limit:
                return await self.handler(delivery)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise DeadlineExceeded(self.seconds) from error
