"""The relay as a finite model: relays that share one outbox, and the order in which its events leave.

`Claims` tells how rows are chosen: HEADS is ours (sql/queries/outbox.sql, `claim`), SKIP_LOCKED the same without
"only the oldest unpublished of each order", PROCESSING the way of the first GoFleet: rows are marked as being worked
on, published by many at once outside of any transaction, and a failure ends in a state that no process reads again.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

from tests.model.checker import Model, Step

ROWS: Final = ((0, 1), (0, 2), (0, 3), (1, 1))
"""(order, sequence) of each row of the outbox, by its id."""
ATTEMPTS_MAX: Final = 2

NEW, TAKEN, FAILED, OUT = "new", "processing", "failed", "published"


class Claims(Enum):
    HEADS = "heads"
    SKIP_LOCKED = "skip locked"
    PROCESSING = "processing"


class Faults(NamedTuple):
    crash: int = 1
    unanswered: int = 1  # the broker may have the message, and did not confirm it
    refused: int = 1


class Row(NamedTuple):
    status: str = NEW
    attempts: int = 0


class Relay(NamedTuple):
    """`rows` are claimed, `answered` of them were confirmed or refused, `confirmed` of these confirmed."""

    rows: tuple[int, ...] = ()
    answered: tuple[int, ...] = ()
    confirmed: tuple[int, ...] = ()


FREE: Final = Relay()


class State(NamedTuple):
    """`heard` = the sequences of each order as they first came out of the broker."""

    rows: tuple[Row, ...] = (Row(),) * len(ROWS)
    relays: tuple[Relay, ...] = (FREE, FREE)
    heard: tuple[tuple[int, ...], ...] = ((), ())
    faults: Faults = Faults()


Steps: TypeAlias = Iterator[Step[State]]
OUT_OF_ORDER = "an event left before an earlier one of its order"


def relaying(claims: Claims, faults: Faults, *, order_matters: bool = True, batch: int = 2) -> Model[State]:
    def steps(state: State) -> Steps:
        for r, relay in enumerate(state.relays):
            if relay == FREE:
                yield from _claims(state, r, claims, batch)
            else:
                yield from _works(state, r, claims)
        if claims is Claims.PROCESSING:
            yield from _rescues(state)

    def broken(state: State) -> str:
        gap = any(later != earlier + 1 for heard in state.heard for earlier, later in pairwise((0, *heard)))
        return OUT_OF_ORDER if order_matters and gap else ""

    return Model(State(faults=faults), steps, broken, _at_rest, lambda s: s._replace(relays=tuple(sorted(s.relays))))


def _at_rest(state: State) -> bool:
    """Everything is published, except rows behind one that failed too often, which needs an operator."""
    return state.relays == (FREE, FREE) and all(
        row.status == OUT or any(_refused_too_often(state, earlier) for earlier in (*_earlier(i), i))
        for i, row in enumerate(state.rows)
    )


def _refused_too_often(state: State, i: int) -> bool:
    return state.rows[i].attempts >= ATTEMPTS_MAX


def _earlier(i: int) -> list[int]:
    return [j for j, (order, sequence) in enumerate(ROWS) if order == ROWS[i][0] and sequence < ROWS[i][1]]


def _claims(state: State, r: int, claims: Claims, batch: int) -> Steps:
    locked = {i for relay in state.relays for i in relay.rows}
    free = [i for i, row in enumerate(state.rows) if row.status == NEW and i not in locked]
    if claims is Claims.HEADS:
        free = [i for i in free if all(state.rows[j].status == OUT for j in _earlier(i))]
    if rows := tuple(free[:batch]):
        after = _relay(state, r, Relay(rows))
        if claims is Claims.PROCESSING:
            for i in rows:
                after = _row(after, i, Row(TAKEN))
        yield Step(f"r{r} claims {_names(rows)}", after)


def _works(state: State, r: int, claims: Claims) -> Steps:
    relay = state.relays[r]
    for i in relay.rows:
        if i in relay.answered or (
            claims is Claims.SKIP_LOCKED and relay.answered != relay.rows[: relay.rows.index(i)]
        ):
            continue  # one after another is the best that plain SKIP LOCKED can do
        yield from _publishes(state, r, i, claims)
    if len(relay.answered) == len(relay.rows):
        yield Step(f"r{r} settles {_names(relay.rows)} and commits", _settled(state, r, claims))
    if state.faults.crash:
        faults = state.faults._replace(crash=state.faults.crash - 1)
        yield Step(f"r{r} DIES", _relay(state, r, FREE)._replace(faults=faults), fault=True)


def _publishes(state: State, r: int, i: int, claims: Claims) -> Steps:
    relay, faults, name = state.relays[r], state.faults, _names((i,))
    answered = relay._replace(answered=(*relay.answered, i))
    seed = claims is Claims.PROCESSING
    confirmed = _relay(state, r, answered._replace(confirmed=(*relay.confirmed, i)))
    heard = _heard(confirmed, i)
    yield Step(f"r{r} publishes {name}", _row(heard, i, Row(OUT)) if seed else heard)
    if faults.unanswered:
        left = _relay(state, r, answered)._replace(faults=faults._replace(unanswered=faults.unanswered - 1))
        left = _row(left, i, Row(FAILED)) if seed else left
        yield Step(f"r{r} publishes {name}, NOT CONFIRMED", _heard(left, i), fault=True)
        yield Step(f"r{r} LOSES {name} on the way", left, fault=True)
    if faults.refused:
        left = _relay(state, r, answered)._replace(faults=faults._replace(refused=faults.refused - 1))
        row = Row(FAILED) if seed else state.rows[i]._replace(attempts=state.rows[i].attempts + 1)
        yield Step(f"the broker REFUSES {name} of r{r}", _row(left, i, row), fault=True)


def _settled(state: State, r: int, claims: Claims) -> State:
    """One transaction: what was confirmed is published, all else stays as it was, and may be claimed again."""
    after = _relay(state, r, FREE)
    for i in state.relays[r].rows if claims is not Claims.PROCESSING else ():
        if i in state.relays[r].confirmed:
            after = _row(after, i, state.rows[i]._replace(status=OUT))
        elif _refused_too_often(state, i):
            after = _row(after, i, state.rows[i]._replace(status=FAILED))
    return after


def _rescues(state: State) -> Steps:
    held = {i for relay in state.relays for i in relay.rows}
    for i, row in enumerate(state.rows):
        if row.status == TAKEN and i not in held:
            yield Step(f"the rescuer resets {_names((i,))} after minutes", _row(state, i, Row(NEW)))


def _heard(state: State, i: int) -> State:
    order, sequence = ROWS[i]
    heard = state.heard[order]
    if sequence in heard:
        return state
    return state._replace(heard=(*state.heard[:order], (*heard, sequence), *state.heard[order + 1 :]))


def _relay(state: State, r: int, relay: Relay) -> State:
    return state._replace(relays=(*state.relays[:r], relay, *state.relays[r + 1 :]))


def _row(state: State, i: int, row: Row) -> State:
    return state._replace(rows=(*state.rows[:i], row, *state.rows[i + 1 :]))


def _names(rows: tuple[int, ...]) -> str:
    return ", ".join(f"o{order}/{sequence}" for order, sequence in (ROWS[i] for i in rows))
