"""What wakes the relays, as a finite model: no event waits for the poll, and no urgent one for a timer.

Committers notify of urgent events (a dispatch waits for them) at once, of quiet ones when a timer fires. Every process
hears each notification and has its own loops; a claim takes the oldest unpublished event of each order, passing over
those that another loop has in flight. The poll is not modelled: whatever would have to wait for it is broken.

Modelled are gofleet/roles/relay_loop.py, gofleet/usecases/relay.py, and the notifier of gofleet/adapters/postgres.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias, TypeVar

from tests.model.checker import Model, Step

EVENTS: Final = ((0, True), (0, False), (0, True), (1, False))
"""(order, urgent) of each event; the events of one order are committed in this sequence."""

ABSENT, WAITING, PUBLISHED = "absent", "waiting", "published"
IDLE, WOKEN, READ, CLAIMED, SETTLED = "waits", "woken", "read", "claimed", "settled"

LATE = "an event waits for the poll"
LINGERS = "an urgent event waits for a timer"

T = TypeVar("T")


class Rules(NamedTuple):
    """What keeps events from waiting, each to be taken away alone."""

    quiet_timer: bool = True  # quiet events are notified of after a while; else never
    urgent_at_once: bool = True  # else by the timer, too
    looks_behind: bool = True  # a loop claims again if a later event of an order waits behind what it published
    hears_meanwhile: bool = True  # or if its process was notified while it published something
    keeps_notification: bool = True  # a notification while no loop waits is kept for the next one
    void_by_newest: bool = True  # a notification is void if a claim is younger than the newest of its commits
    void_by_claim_alone: bool = True  # no claim makes one void that began while another loop of the process worked
    claims_after_commit: bool = True  # the next claim sees what the last one published


class Loop(NamedTuple):
    """`heard` = a notification came since it last claimed; `behind` = a later event waits behind those it published."""

    at: str = IDLE
    rows: tuple[int, ...] = ()
    heard: bool = False
    behind: bool = False


class Process(NamedTuple):
    """`seen` = the commits after which a claim began that makes their notification void; `kept` = a notification."""

    loops: tuple[Loop, ...]
    seen: frozenset[int] = frozenset()
    kept: bool = False


class State(NamedTuple):
    """`owed` = commits whose notification was not sent yet."""

    processes: tuple[Process, ...]
    events: tuple[str, ...] = (ABSENT,) * len(EVENTS)
    owed: frozenset[int] = frozenset()


Steps: TypeAlias = Iterator[Step[State]]


def waking(rules: Rules, loops: tuple[int, ...]) -> Model[State]:
    """One relay process for each number of loops."""

    def steps(state: State) -> Steps:
        yield from _commits(state)
        yield from _notifies(rules, state)
        for p, process in enumerate(state.processes):
            for number, loop in enumerate(process.loops):
                yield from _works(rules, state, p, number, loop)

    return Model(
        State(tuple(Process((Loop(),) * count) for count in loops)),
        steps,
        lambda state: _late(rules, state),
        lambda state: set(state.events) == {PUBLISHED},
        lambda state: state._replace(
            processes=tuple(sorted((p._replace(loops=tuple(sorted(p.loops))) for p in state.processes), key=repr))
        ),
    )


def _late(rules: Rules, state: State) -> str:
    """What waits although no loop works, and none will be woken for it."""
    if any(process.kept or any(loop.at != IDLE for loop in process.loops) for process in state.processes):
        return ""
    waiting = {e for e, event in enumerate(state.events) if event == WAITING}
    if _urgent(waiting) and not (_urgent(state.owed) and rules.urgent_at_once):
        return LINGERS if state.owed else LATE
    return LATE if waiting and not (state.owed and (rules.quiet_timer or _urgent(waiting))) else ""


def _urgent(events: set[int] | frozenset[int]) -> bool:
    return any(EVENTS[e][1] for e in events)


def _commits(state: State) -> Steps:
    for e, (order, urgent) in enumerate(EVENTS):
        if state.events[e] == ABSENT and all(state.events[x] != ABSENT for x in range(e) if EVENTS[x][0] == order):
            committed = state._replace(events=_put(state.events, e, WAITING), owed=state.owed | {e})
            yield Step(f"{'urgent' if urgent else 'quiet'} e{e} is committed", committed)


def _notifies(rules: Rules, state: State) -> Steps:
    """One notification is for all commits until now; for quiet ones alone it waits for the timer."""
    if state.owed and (_urgent(state.owed) or rules.quiet_timer):
        heard = tuple(_notified(rules, process, state.owed) for process in state.processes)
        yield Step(f"a notification of {sorted(state.owed)}", state._replace(owed=frozenset(), processes=heard))


def _notified(rules: Rules, process: Process, commits: frozenset[int]) -> Process:
    if (commits if rules.void_by_newest else {min(commits)}) <= process.seen:
        return process
    heard = process._replace(loops=tuple(loop._replace(heard=loop.at != IDLE) for loop in process.loops))
    for number, loop in enumerate(heard.loops):
        if loop.at == IDLE:
            return heard._replace(loops=_put(heard.loops, number, Loop(WOKEN)))
    return heard._replace(kept=rules.keeps_notification)


def _works(rules: Rules, state: State, p: int, number: int, loop: Loop) -> Steps:
    name = f"p{p} l{number}"
    match loop.at:
        case "waits":
            if state.processes[p].kept:
                yield Step(f"{name} finds a kept notification", _looped(state, p, number, Loop(WOKEN)))
        case "woken":
            yield _claims(rules, state, p, number)
        case "read":
            after = loop._replace(at=CLAIMED) if loop.rows else Loop()
            yield Step(f"{name} has claimed {loop.rows}", _looped(state, p, number, after))
        case "claimed":
            behind = any(_is_behind(state, loop, e) for e in range(len(EVENTS)))
            settled = _looped(state, p, number, loop._replace(at=SETTLED, behind=behind))
            yield Step(f"{name} publishes and settles {loop.rows}", settled)
        case _:
            yield _goes_on(rules, state, p, number, loop)


def _claims(rules: Rules, state: State, p: int, number: int) -> Step[State]:
    """A kept notification is used up by this claim."""
    process = state.processes[p]
    alone = all(loop.at == IDLE for other, loop in enumerate(process.loops) if other != number)
    if alone or not rules.void_by_claim_alone:
        process = process._replace(seen=frozenset(e for e, event in enumerate(state.events) if event != ABSENT))
    after = state._replace(processes=_put(state.processes, p, process._replace(kept=False)))
    return Step(f"p{p} l{number} reads the outbox", _looped(after, p, number, Loop(READ, _heads(state))))


def _goes_on(rules: Rules, state: State, p: int, number: int, loop: Loop) -> Step[State]:
    events = tuple(PUBLISHED if e in loop.rows else event for e, event in enumerate(state.events))
    after = state._replace(events=events)
    if not ((rules.looks_behind and loop.behind) or (rules.hears_meanwhile and loop.heard)):
        return Step(f"p{p} l{number} commits, and waits", _looped(after, p, number, Loop()))
    if not rules.claims_after_commit and not _heads(state):
        return Step(f"p{p} l{number} commits what its next claim did not see", _looped(after, p, number, Loop()))
    return Step(f"p{p} l{number} commits, and claims again", _looped(after, p, number, Loop(WOKEN)))


def _is_behind(state: State, loop: Loop, e: int) -> bool:
    return state.events[e] == WAITING and any(EVENTS[row][0] == EVENTS[e][0] and row < e for row in loop.rows)


def _heads(state: State) -> tuple[int, ...]:
    in_flight = {e for process in state.processes for loop in process.loops for e in loop.rows}
    heads: dict[int, int] = {}
    for e, event in enumerate(state.events):
        if event == WAITING:
            heads.setdefault(EVENTS[e][0], e)
    return tuple(e for e in heads.values() if e not in in_flight)


def _looped(state: State, p: int, number: int, loop: Loop) -> State:
    process = state.processes[p]
    kept = process.kept and loop.at != WOKEN
    return state._replace(
        processes=_put(state.processes, p, process._replace(loops=_put(process.loops, number, loop), kept=kept))
    )


def _put(values: tuple[T, ...], at: int, value: T) -> tuple[T, ...]:
    return (*values[:at], value, *values[at + 1 :])
