from __future__ import annotations

from dataclasses import dataclass

from gofleet import failpoints
from gofleet.domain.errors import MessageRefused
from gofleet.ports import Outbox, Parked, Publisher


@dataclass(frozen=True)
class RelayOutbox:
    """Publish one batch of what the outbox holds; returns how many the broker took for good.

    The rows stay claimed until the broker has answered: a relay that dies in between gives them back, and
    their events may then arrive twice, never not at all. `Unavailable` when the broker took nothing because it
    cannot be reached, which counts against no event: an outage only delays.
    """

    outbox: Outbox
    publisher: Publisher
    batch: int

    async def __call__(self) -> int:
        async with self.outbox.claiming(self.batch) as claim:
            if not claim.messages:
                return 0
            failpoints.hit("relay.after_claim")
            answers = await self.publisher.publish(claim.messages)
            failpoints.hit("relay.after_publish")
            await claim.settle(answers)
            failpoints.hit("relay.after_settle")
        failpoints.hit("relay.after_commit")
        away = [answer for answer in answers if answer is not None and not isinstance(answer, MessageRefused)]
        if away and len(away) == len(answers):
            raise away[0]
        return sum(answer is None for answer in answers)


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
