"""A message that kills its worker, as a finite model: how many workers it kills, and what becomes of its neighbours.

Message 0 kills every worker that handles it, message 1 is harmless; both may be in flight in one worker. The broker
counts the deliveries that ended in a lost consumer, and a retry copy begins at 0 there. A worker that dies leaves the
lease of what it was handling without an owner.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from tests.model.checker import Model, Step
from tests.model.protocol import NO_HOLDER

LIMIT: Final = 3
"""Lost consumers that a message survives."""
TAKE_OVER_MAX: Final = 2
"""Redeliveries that take over the lease of the lost consumer at once."""
ALONE_FROM: Final = 2

KILLER: Final = 0
QUEUED, HELD, HANDLED, DONE, PARKED = "queued", "held", "handled", "done", "parked"

ENDLESS = "a message killed more workers than the limit allows"
BYSTANDER_PARKED = "a harmless message was parked"


class Guards(NamedTuple):
    """What bounds a crash loop, each to be taken away alone."""

    copies_count: bool = True  # a retry copy carries the count of the original
    alone: bool = True  # from the second lost consumer on, with no other message in flight


class Message(NamedTuple):
    """`crashes` is our count, which copies carry; `redeliveries` the broker's, which they lose."""

    at: str = QUEUED
    worker: int = NO_HOLDER
    crashes: int = 0
    redeliveries: int = 0
    orphan: bool = False

    @property
    def lost(self) -> int:
        return self.crashes + self.redeliveries


class State(NamedTuple):
    messages: tuple[Message, ...] = (Message(), Message())
    kills: int = 0
    broken: str = ""


Steps: TypeAlias = Iterator[Step[State]]


def crashing(guards: Guards, workers: int = 2) -> Model[State]:
    def steps(state: State) -> Steps:
        for m, message in enumerate(state.messages):
            if message.at == QUEUED:
                for w in range(workers):
                    yield from _receives(guards, state, m, w)
            elif message.at == HELD:
                yield from _begins(guards, state, m)
            elif message.at == HANDLED:
                yield _killed(state) if m == KILLER else _ends(state, m)
            if message.orphan:
                yield Step(f"the lease of m{m} runs out", _with(state, m, message._replace(orphan=False)))

    return Model(State(), steps, lambda state: state.broken, _at_rest)


def _at_rest(state: State) -> bool:
    return all(message.at in (DONE, PARKED) for message in state.messages)


def _receives(guards: Guards, state: State, m: int, w: int) -> Steps:
    beside = [other for i, other in enumerate(state.messages) if i != m and other.worker == w]
    if guards.alone and any(_may_kill(other) and other.at == HANDLED for other in beside):
        return  # its worker takes no other message meanwhile
    yield Step(f"w{w} receives m{m}", _with(state, m, state.messages[m]._replace(at=HELD, worker=w)))


def _begins(guards: Guards, state: State, m: int) -> Steps:
    message, w = state.messages[m], state.messages[m].worker
    if message.lost > LIMIT:
        broken = BYSTANDER_PARKED if m != KILLER else ""
        parked = _with(state, m, Message(PARKED))
        yield Step(f"w{w} parks m{m}", parked._replace(broken=broken))
        return
    beside = [i for i, other in enumerate(state.messages) if i != m and other.worker == w]
    if guards.alone and any(_may_kill(state.messages[i]) and state.messages[i].at == HANDLED for i in beside):
        return
    if guards.alone and _may_kill(message):
        if any(state.messages[i].at == HANDLED for i in beside):
            return  # it waits until the others have ended
        for i in beside:
            state = _with(state, i, state.messages[i]._replace(at=QUEUED, worker=NO_HOLDER))
    if message.orphan and not 0 < message.lost <= TAKE_OVER_MAX:
        copy = Message(crashes=message.lost if guards.copies_count else message.crashes, orphan=True)
        yield Step(f"w{w} finds the lease of m{m} busy, and sends a copy", _with(state, m, copy))
    else:
        yield Step(f"w{w} handles m{m}", _with(state, m, message._replace(at=HANDLED, orphan=False)))


def _killed(state: State) -> Step[State]:
    """All messages in flight come back counted; what was handled leaves an orphaned lease."""
    w = state.messages[KILLER].worker
    messages = tuple(
        message._replace(
            at=QUEUED,
            worker=NO_HOLDER,
            redeliveries=message.redeliveries + 1,
            orphan=message.orphan or message.at == HANDLED,
        )
        if message.worker == w
        else message
        for message in state.messages
    )
    kills = state.kills + 1
    return Step(f"m{KILLER} KILLS w{w}", State(messages, kills, ENDLESS if kills > LIMIT + 1 else ""))


def _ends(state: State, m: int) -> Step[State]:
    return Step(f"w{state.messages[m].worker} has handled m{m}", _with(state, m, Message(DONE)))


def _may_kill(message: Message) -> bool:
    return message.lost >= ALONE_FROM


def _with(state: State, m: int, message: Message) -> State:
    return state._replace(messages=(*state.messages[:m], message, *state.messages[m + 1 :]))
