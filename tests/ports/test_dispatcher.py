"""What becomes of a message that could not be answered as its handler wanted."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from gofleet.adapters.dispatcher import Dispatcher
from gofleet.domain.messages import ACK, Delivery, Outcome, Retry
from tests.waiting import eventually


@dataclass
class Unanswerable:
    """The broker takes no answer but the last one."""

    delivery: Delivery = field(default_factory=lambda: Delivery("orders.created", b"{}"))
    given_back: int = 0

    async def ack(self) -> None:
        raise RuntimeError("nobody foresaw this")

    async def retry_later(self, later: Retry) -> None:
        raise RuntimeError("nor this")

    async def nack(self) -> None:
        self.given_back += 1


@pytest.mark.parametrize("verdict", [ACK, Retry(1)])
async def test_a_message_that_cannot_be_answered_is_given_back(verdict: Outcome) -> None:
    async def handler(_: Delivery) -> Outcome:
        return verdict

    held = Unanswerable()
    dispatcher = Dispatcher(handler, concurrency=1)

    dispatcher.accept(held)

    await eventually(lambda: held.given_back == 1 and not len(dispatcher))
