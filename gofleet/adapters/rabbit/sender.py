"""Publishing that knows the outcome of every message."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from aio_pika.exceptions import DeliveryError, PublishError
from faststream.rabbit import Channel

from gofleet.adapters.rabbit.amqp import ConnectionDied, send_all
from gofleet.adapters.rabbit.connection import RABBIT, RabbitServer, Session
from gofleet.adapters.rabbit.outgoing import Outgoing
from gofleet.adapters.rabbit.topology import Topology
from gofleet.domain.errors import GoFleetError, MessageRefused, Unavailable
from gofleet.telemetry.metrics import MESSAGES_UNROUTABLE


class Sender:
    """Sends over a connection of its own, opened when first needed and again after it is lost.

    Of its own, for FastStream would else publish on a consumer's channel, which does not tell of unroutable messages.
    """

    def __init__(self, server: RabbitServer, topology: Topology, timeout_seconds: float) -> None:
        self._server = server
        self._topology = topology
        self._timeout_seconds = timeout_seconds
        self._opening: asyncio.Task[Session] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._abandon(self._opening)
        if self._closing:
            await asyncio.wait(self._closing)

    async def send(self, messages: Sequence[Outgoing]) -> list[GoFleetError | None]:
        """Send all at once and wait for each to be confirmed (None), refused, or for the time to be up.

        Raises TopologyMismatch, for then nothing will ever be sent.
        """
        until = asyncio.get_running_loop().time() + self._timeout_seconds
        opening = self._opened()
        try:
            async with asyncio.timeout_at(until):
                session = await asyncio.shield(opening)
        except Unavailable as error:
            return [error] * len(messages)
        except TimeoutError:
            return [self._no_answer()] * len(messages)
        outcomes = await send_all(session.channel, messages, until)
        answers = [None if error is None else self._answer_to(error) for error in outcomes]
        if any(answers):
            # On a new connection everything is declared again, should a queue have gone.
            self._abandon(opening)
        return answers

    async def connect(self) -> None:
        """Open the connection now; Unavailable or TopologyMismatch."""
        await asyncio.shield(self._opened())

    def _opened(self) -> asyncio.Task[Session]:
        """The opening of the session to use: the present one, or a new one if that failed or is lost."""
        opening = self._opening
        if opening is None or (opening.done() and _is_over(opening)):
            self._abandon(opening)
            opening = asyncio.create_task(Session.open(self._server, self._topology, _confirming()))
            self._opening = opening
        return opening

    def _abandon(self, opening: asyncio.Task[Session] | None) -> None:
        """Close that session, beside what else goes on."""
        if opening is None:
            return
        if opening is self._opening:
            self._opening = None
        closing = asyncio.create_task(_close(opening))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _answer_to(self, error: BaseException) -> GoFleetError:
        match error:
            case PublishError():
                MESSAGES_UNROUTABLE.inc()
                return MessageRefused("no queue takes it")
            case DeliveryError():
                # A nack says nothing against the message: our queues have no limits, so it is RabbitMQ that cannot now,
                # such as after its disk was full. Counted, an outage of a quarter of an hour would fail every event.
                return Unavailable(RABBIT, "it takes nothing now")
            case TypeError() | ValueError() | struct.error():
                return MessageRefused(f"it cannot be written as AMQP: {error}")
            case TimeoutError():
                return self._no_answer()
            case ConnectionDied():
                return Unavailable(RABBIT, "the connection was lost")
            case _:
                return Unavailable(RABBIT, str(error) or type(error).__name__)

    def _no_answer(self) -> Unavailable:
        return Unavailable(RABBIT, f"no answer within {self._timeout_seconds:g} s")


def _confirming() -> Channel:
    return Channel(publisher_confirms=True, on_return_raises=True)


def _is_over(opening: asyncio.Task[Session]) -> bool:
    return opening.cancelled() or opening.exception() is not None or opening.result().lost.is_set()


async def _close(opening: asyncio.Task[Session]) -> None:
    # Never cancelled: it ends by itself in a few seconds, and aio-pika leaks a connection cancelled while it opens.
    await asyncio.wait({opening})
    if not opening.cancelled() and opening.exception() is None:
        await opening.result().close()
