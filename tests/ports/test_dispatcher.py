"""The dispatcher returns a message that it could not settle as its handler decided."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from gofleet.adapters.dispatcher import Dispatcher
from gofleet.domain.messages import ACK, Delivery, Outcome, Retry
from tests.waiting import eventually


@dataclass
class OnlyNackable:
    """A message whose broker accepts nothing but a nack."""

    delivery: Delivery = field(default_factory=lambda: Delivery("orders.created", b"{}"))
    nacked: int = 0

    async def ack(self) -> None:
        raise RuntimeError("unexpected failure of ack")

    async def retry_later(self, retry: Retry) -> None:
        raise RuntimeError("unexpected failure of retry_later")

    async def nack(self) -> None:
        self.nacked += 1


@pytest.mark.parametrize("outcome", [ACK, Retry(1)])
async def test_nacks_a_message_that_cannot_be_settled(outcome: Outcome) -> None:
    async def handler(_: Delivery) -> Outcome:
        return outcome

    message = OnlyNackable()
    dispatcher = Dispatcher(handler, concurrency=1)

    dispatcher.accept(message)

    await eventually(lambda: message.nacked == 1 and not len(dispatcher))
