from __future__ import annotations

from dataclasses import dataclass

from gofleet.domain.errors import MessageRefused
from gofleet.ports import Parked, Publisher


@dataclass(frozen=True)
class ReplayParked:
    """Put one batch of the parked messages whose replay was requested back into their queues; returns how many.

    They stay claimed until the broker has answered: who dies in between gives them back, and they may then arrive
    twice with the same event id, which their consumers apply once. `Unavailable` when the broker took nothing.
    """

    parked: Parked
    publisher: Publisher
    batch: int

    async def __call__(self) -> int:
        async with self.parked.claiming(self.batch) as claim:
            if not claim.deliveries:
                return 0
            answers = await self.publisher.put_back(claim.deliveries)
            await claim.settle(answers)
        away = [answer for answer in answers if answer is not None and not isinstance(answer, MessageRefused)]
        if away and len(away) == len(answers):
            raise away[0]
        return len(answers) - len(away)
