"""A worker with one message, statement by statement: guards/idempotency.py, guards/manual_fallback.py,
usecases/dispatch_order.py, usecases/send_to_manual.py, and the answer to the broker (adapters/dispatcher.py,

    lease -> read -> save -> finish -> ack          the order has a driver
    lease -> save -> ...                            the first event of an order is believed instead of reading it
    lease -> take -> read ...                       redelivered: the lease of the lost consumer is taken over
    read -> note -> finish -> ack                   it needed none
    read | save -> copy -> ack                      later: a copy waits in the broker, then the original is forgotten
    read | save -> give_read -> give_save -> ack    no driver: escalated to manual dispatch
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from tests.model import database
from tests.model.checker import Step
from tests.model.database import note, save
from tests.model.protocol import (
    DISPATCHED,
    DONE,
    IDLE,
    MANUAL,
    NO_HOLDER,
    NOTHING,
    ORPHAN,
    PENDING,
    Setting,
    State,
    Worker,
    committed,
    has,
    put,
)

Steps: TypeAlias = Iterator[Step[State]]


def worker_steps(setting: Setting, state: State, w: int) -> Steps:
    """What worker `w` may do next, and what may befall it."""
    worker = state.workers[w]
    if worker.at == "idle":
        yield from _receives(setting, state, w)
        return
    yield from _ACTS[worker.at](setting, state, w)
    if state.faults.crash:
        yield Step(f"w{w} DIES at {worker.at} of e{worker.event}", _dies(state, w), fault=True)
    if state.faults.redelivery and worker.owned:
        lost = _now(state, w, worker._replace(owned=False))
        again = lost._replace(redelivered=_back(state, worker.event), faults=state.faults.less("redelivery"))
        yield Step(f"the broker REDELIVERS e{worker.event}, w{w} lives on at {worker.at}", again, fault=True)


def _receives(setting: Setting, state: State, w: int) -> Steps:
    at = "lease" if setting.guards.lease else "read"
    owned = setting.guards.ack_last
    for event, waiting in enumerate(state.queue):
        if waiting:
            taken = state._replace(queue=put(state.queue, event, waiting - 1))
            received = Worker(at, event, owned, excluded=_read_before(setting, state, event), first=True)
            yield Step(f"w{w} receives e{event}", _now(taken, w, received))
    for event, waiting in enumerate(state.redelivered):
        if waiting:
            taken = state._replace(redelivered=put(state.redelivered, event, waiting - 1))
            again = Worker(at, event, owned, excluded=_read_before(setting, state, event))
            again = again._replace(redelivered=setting.guards.take_over)
            yield Step(f"w{w} receives e{event}, redelivered", _now(taken, w, again))


def _read_before(setting: Setting, state: State, event: int) -> int:
    """The exclusions that a worker reads before the order, without the guard against that."""
    return 0 if setting.guards.exclusion_after_order else state.db.orders[setting.order_of(event)].excluded


def _lease(setting: Setting, state: State, w: int) -> Steps:
    worker = state.workers[w]
    event, mark = worker.event, state.redis[worker.event]
    if mark == DONE:
        if has(state.db.inbox, event) or not setting.guards.done_needs_inbox:
            yield Step(f"w{w} finds e{event} done", _now(state, w, _settling(worker, "ack")))
        else:
            yield Step(f"w{w} finds e{event} done, the inbox does not: takes over", _leased(state, w))
    elif mark == ORPHAN or any(other.leased and other.event == event for other in state.workers):
        at = "copy" if setting.guards.busy_waits else "ack"
        yield Step(f"w{w} finds the lease of e{event} busy", _now(state, w, _settling(worker, at)))
        if worker.redelivered:
            seen = _now(state, w, worker._replace(at="take", seen=True))
            yield Step(f"w{w} finds the lease of e{event} busy, to take it over", seen)
    else:
        yield Step(f"w{w} leases e{event}", _leased(state, w))


def _take(setting: Setting, state: State, w: int) -> Steps:
    """`Leases.take_over`: a redelivered message does not prove that its last consumer is dead."""
    worker = state.workers[w]
    event = worker.event
    if worker.seen or not setting.guards.take_over_compares:
        others = tuple(x._replace(leased=x.leased and x.event != event) for x in state.workers)
        yield Step(f"w{w} takes over the lease of e{event}", _leased(state._replace(workers=others), w))
    else:
        yield Step(f"w{w} finds the lease of e{event} changed", _now(state, w, _settling(worker, "copy")))


def compared(before: State, step: Step[State]) -> Step[State]:
    """The step, after which no worker may take over a lease that has changed. A holder's death does not change it."""
    if not any(worker.seen for worker in step.state.workers):
        return step
    old, new = _leases(before), _leases(step.state)
    workers = tuple(
        worker._replace(seen=worker.seen and new[worker.event] in (old[worker.event], (ORPHAN, NO_HOLDER)))
        for worker in step.state.workers
    )
    return step._replace(state=step.state._replace(workers=workers))


def _leases(state: State) -> list[tuple[int, int]]:
    """For each event its mark in Redis, or the worker that holds it."""
    leases = [(mark, NO_HOLDER) for mark in state.redis]
    for w, worker in enumerate(state.workers):
        if worker.leased:
            leases[worker.event] = (NOTHING, w)
    return leases


def _settling(worker: Worker, at: str) -> Worker:
    return worker._replace(at=at, redelivered=False, seen=False)


def _read(setting: Setting, state: State, w: int) -> Steps:
    worker = state.workers[w]
    o = setting.order_of(worker.event)
    order = state.db.orders[o]
    yield from _believes(setting, state, w)
    if order.status != PENDING:
        yield Step(f"w{w} reads o{o}, which is {order.status}", _now(state, w, worker._replace(at="note", first=False)))
        return
    excluded = order.excluded if setting.guards.exclusion_after_order else worker.excluded
    excluded = excluded if setting.guards.exclusion_in_search else 0
    free = [d for d in range(setting.drivers) if not has(excluded, d) and not (state.locks and state.locks[d])]
    for driver in free:
        at = "save" if setting.guards.inbox_with_move else "claim"
        reading = worker._replace(at=at, driver=driver, version=order.version, excluded=excluded, first=False)
        found = _locked(_now(state, w, reading), driver, True)
        yield Step(f"w{w} reads o{o}, version {order.version}, and finds d{driver}", found)
    if not free:
        yield from _tries_later(setting, state, w, "finds no driver")
    if state.faults.fleet:
        failed = state._replace(faults=state.faults.less("fleet"))
        yield from _tries_later(setting, failed, w, "gets no driver from the fleet", fault=True)


def _believes(setting: Setting, state: State, w: int) -> Steps:
    """The first delivery of an order's first event: its content tells where to search, and the save decides.

    A copy that a worker of the release before has sent looks like a first delivery, too."""
    worker = state.workers[w]
    if not worker.first or worker.event != setting.events_of(setting.order_of(worker.event))[0]:
        return
    for driver in [d for d in range(setting.drivers) if not (state.locks and state.locks[d])]:
        at = "save" if setting.guards.inbox_with_move else "claim"
        believing = worker._replace(at=at, driver=driver, version=1, excluded=0, first=False)
        found = _locked(_now(state, w, believing), driver, True)
        yield Step(f"w{w} believes e{worker.event} and finds d{driver}", found)


def _claim(setting: Setting, state: State, w: int) -> Steps:
    """Not ours: the event is noted as handled, and then the work is done."""
    worker = state.workers[w]
    at = "finish" if has(state.db.inbox, worker.event) else "save"
    noted = committed(state, note(state.db, worker.event))
    yield Step(f"w{w} claims e{worker.event} in the inbox, then: {at}", _now(noted, w, worker._replace(at=at)))


def _save(setting: Setting, state: State, w: int) -> Steps:
    worker = state.workers[w]
    event, driver, o = worker.event, worker.driver, setting.order_of(worker.event)
    saved = save(setting, state.db, o, (DISPATCHED, driver), worker.version, event=event)
    freed = _locked(state, driver, False)
    match saved.how:
        case database.KEPT:
            after = committed(state, saved.db, saved.broken)
            yield Step(f"w{w} gives o{o} to d{driver}", _now(after, w, worker._replace(at="finish")))
        case database.STALE if setting.guards.stale_reads:
            yield Step(f"w{w} finds o{o} moved, reads again", _now(freed, w, worker._replace(at="read")))
        case database.STALE:
            yield Step(f"w{w} takes o{o}, which moved, for handled", _now(freed, w, worker._replace(at="note")))
        case database.HANDLED:
            yield Step(f"w{w} finds e{event} handled before", _now(freed, w, worker._replace(at="finish")))
        case database.BUSY:
            for other in range(setting.drivers):
                if other != driver and not has(worker.excluded, other):
                    yield Step(f"w{w} passes over d{driver}", _now(state, w, worker._replace(driver=other)))
            yield from _tries_later(setting, freed, w, f"finds d{driver} busy, and no other driver")
        case _:
            yield from _tries_later(setting, freed, w, "is refused by the database")


def _note(setting: Setting, state: State, w: int) -> Steps:
    worker = state.workers[w]
    noted = committed(state, note(state.db, worker.event)) if setting.guards.inbox else state
    yield Step(f"w{w} notes e{worker.event} as skipped", _now(noted, w, worker._replace(at="finish")))


def _finish(setting: Setting, state: State, w: int) -> Steps:
    """`Leases.finish`: done, unless another worker holds it now. `Unavailable` is ignored, the lease expires."""
    worker = state.workers[w]
    event = worker.event
    answering = _now(state, w, worker._replace(at="ack", leased=False))
    held = any(other.leased and other.event == event for i, other in enumerate(state.workers) if i != w)
    if not setting.guards.lease or held or state.redis[event] != NOTHING:
        yield Step(f"w{w} leaves no mark of e{event}", answering)
    else:
        yield Step(f"w{w} marks e{event} done", answering._replace(redis=put(state.redis, event, DONE)))


def _copy(setting: Setting, state: State, w: int) -> Steps:
    worker = state.workers[w]
    if not setting.guards.copy_first and worker.owned:
        yield Step(f"w{w} acks e{worker.event} before its copy", _now(state, w, worker._replace(owned=False)))
        return
    sent = state._replace(queue=_more(state, worker.event))
    yield Step(f"w{w} sends a copy of e{worker.event} to wait", _now(sent, w, worker._replace(at="ack")))
    if setting.guards.copy_first and not worker.owned:
        yield Step(f"w{w} no longer owns e{worker.event}, and forgets it", _now(state, w, IDLE))


def _ack(setting: Setting, state: State, w: int) -> Steps:
    worker = state.workers[w]
    forgotten = _now(state, w, IDLE)
    if setting.failover_between:
        forgotten = forgotten._replace(before=None)
    yield Step(f"w{w} acks e{worker.event}" + ("" if worker.owned else ", which no broker receives"), forgotten)


def _give_read(setting: Setting, state: State, w: int) -> Steps:
    """`SendToManual`, by the guard outside of the lease."""
    worker = state.workers[w]
    event, o = worker.event, setting.order_of(worker.event)
    order = state.db.orders[o]
    if order.status == PENDING:
        reading = worker._replace(at="give_save", version=order.version)
        yield Step(f"w{w} reads o{o}, version {order.version}, to give it up", _now(state, w, reading))
    else:
        noted = committed(state, note(state.db, event)) if setting.guards.inbox else state
        yield Step(f"w{w} finds o{o} {order.status}, notes e{event}", _now(noted, w, worker._replace(at="ack")))


def _give_save(setting: Setting, state: State, w: int) -> Steps:
    worker = state.workers[w]
    event, o = worker.event, setting.order_of(worker.event)
    saved = save(setting, state.db, o, (MANUAL, NO_HOLDER), worker.version, event=event)
    if saved.how == database.KEPT:
        after = committed(state, saved.db, saved.broken)
        yield Step(f"w{w} escalates o{o}", _now(after, w, worker._replace(at="ack")))
    else:
        at = {database.STALE: "give_read", database.HANDLED: "ack"}.get(saved.how, "copy")
        yield Step(f"w{w} cannot give up o{o}, {saved.how}", _now(state, w, worker._replace(at=at)))


_ACTS = {
    "lease": _lease,
    "take": _take,
    "read": _read,
    "claim": _claim,
    "save": _save,
    "note": _note,
    "finish": _finish,
    "copy": _copy,
    "ack": _ack,
    "give_read": _give_read,
    "give_save": _give_save,
}


def _tries_later(setting: Setting, state: State, w: int, why: str, *, fault: bool = False) -> Steps:
    """The lease is released, then the search time decides: a retry, or manual dispatch."""
    worker = state.workers[w]
    redis = state.redis
    if not setting.guards.own_release:
        redis = put(redis, worker.event, NOTHING)
        others = tuple(x._replace(leased=x.leased and x.event != worker.event) for x in state.workers)
        state = state._replace(workers=others)
    for at in ("copy", "give_read"):
        waiting = Worker(at, worker.event, worker.owned)
        yield Step(f"w{w} {why}", _now(state._replace(redis=redis), w, waiting), fault)


def _dies(state: State, w: int) -> State:
    """Its unacknowledged messages are redelivered; its lease stays without an owner."""
    worker = state.workers[w]
    dead = _now(state, w, IDLE)
    return dead._replace(
        redelivered=_back(state, worker.event) if worker.owned else state.redelivered,
        redis=put(state.redis, worker.event, ORPHAN) if worker.leased else state.redis,
        faults=state.faults.less("crash"),
    )


def _leased(state: State, w: int) -> State:
    worker = _settling(state.workers[w], "read")._replace(leased=True)
    return _now(state, w, worker)._replace(redis=put(state.redis, worker.event, NOTHING))


def _now(state: State, w: int, worker: Worker) -> State:
    return state._replace(workers=(*state.workers[:w], worker, *state.workers[w + 1 :]))


def _more(state: State, event: int) -> tuple[int, ...]:
    return put(state.queue, event, state.queue[event] + 1)


def _back(state: State, event: int) -> tuple[int, ...]:
    return put(state.redelivered, event, state.redelivered[event] + 1)


def _locked(state: State, driver: int, locked: bool) -> State:
    if not state.locks:
        return state
    return state._replace(locks=(*state.locks[:driver], locked, *state.locks[driver + 1 :]))
