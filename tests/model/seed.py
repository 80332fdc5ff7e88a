"""The protocol of the original system, kept to show why ours differs. The product does not use it.

A Redis key is set for a day before the work, and a process that finds it acknowledges the message as a duplicate; an
error deletes the key; the order is written by its id alone, without regard to changes since it was read; no event is
stored with the transition, and nothing prevents a driver from holding two orders.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from tests.model.checker import Model, Step
from tests.model.database import CANCELLED_MOVED, DISPATCHED_TWICE, DRIVER_TWICE
from tests.model.protocol import CANCELLED, DISPATCHED, MANUAL, NO_HOLDER, PENDING, put


class Faults(NamedTuple):
    crash: int = 0
    redelivery: int = 0
    relay_crash: int = 0
    fleet: int = 0
    cancel: int = 0


class Worker(NamedTuple):
    at: str = "idle"
    order: int = NO_HOLDER
    owned: bool = False
    driver: int = NO_HOLDER
    read: str = ""


IDLE: Final = Worker()


class Repairs(NamedTuple):
    """What its README claimed: with both the wrong moves are gone, and orders are stranded all the same."""

    conditional_update: bool = False
    one_order_per_driver: bool = False


AS_IT_WAS: Final = Repairs()


class State(NamedTuple):
    """One event for each order; `orders` are (status, driver); `keys` were set in Redis and not deleted."""

    orders: tuple[tuple[str, int], ...]
    unpublished: tuple[int, ...]
    queue: tuple[int, ...]
    keys: tuple[int, ...]
    workers: tuple[Worker, ...]
    faults: Faults
    relay: int = NO_HOLDER
    broken: str = ""


Steps: TypeAlias = Iterator[Step[State]]


def seed(
    faults: Faults, *, orders: int = 1, drivers: int = 1, workers: int = 2, repairs: Repairs = AS_IT_WAS
) -> Model[State]:
    def steps(state: State) -> Steps:
        yield from _relay(state)
        yield from _customer(state)
        for w, worker in enumerate(state.workers):
            if worker == IDLE:
                yield from _receives(state, w)
            else:
                yield from _works(state, w, drivers, repairs)
                yield from _suffers(state, w)

    none = (0,) * orders
    begin = State(((PENDING, NO_HOLDER),) * orders, (1,) * orders, none, none, (IDLE,) * workers, faults)
    return Model(begin, steps, lambda state: state.broken, _at_rest)


def _at_rest(state: State) -> bool:
    under_way = any(state.unpublished) or any(state.queue) or state.relay != NO_HOLDER
    working = any(worker != IDLE for worker in state.workers)
    return not under_way and not working and all(status != PENDING for status, _ in state.orders)


def _relay(state: State) -> Steps:
    if state.relay != NO_HOLDER:
        marked = state._replace(unpublished=put(state.unpublished, state.relay, 0), relay=NO_HOLDER)
        yield Step(f"the relay marks e{state.relay} published", marked)
        if state.faults.relay_crash:
            left = state.faults._replace(relay_crash=state.faults.relay_crash - 1)
            yield Step("the relay DIES before it marks", state._replace(relay=NO_HOLDER, faults=left), fault=True)
        return
    for e, unpublished in enumerate(state.unpublished):
        if unpublished:
            sent = state._replace(queue=put(state.queue, e, state.queue[e] + 1), relay=e)
            yield Step(f"the relay publishes e{e}", sent)


def _customer(state: State) -> Steps:
    if state.faults.cancel:
        left = state._replace(faults=state.faults._replace(cancel=state.faults.cancel - 1))
        for o, (status, _) in enumerate(state.orders):
            if status != CANCELLED:
                yield Step(f"the customer cancels o{o}", _written(left, o, CANCELLED, NO_HOLDER), fault=True)


def _receives(state: State, w: int) -> Steps:
    for e, waiting in enumerate(state.queue):
        if waiting:
            taken = state._replace(queue=put(state.queue, e, waiting - 1))
            yield Step(f"w{w} receives e{e}", _now(taken, w, Worker("guard", e, owned=True)))


def _works(state: State, w: int, drivers: int, repairs: Repairs) -> Steps:
    worker = state.workers[w]
    o = worker.order
    match worker.at:
        case "guard" if state.keys[o]:
            yield Step(f"w{w} takes e{o} for a duplicate", _now(state, w, worker._replace(at="ack")))
        case "guard":
            keyed = state._replace(keys=put(state.keys, o, 1))
            yield Step(f"w{w} sets the key of e{o} for a day", _now(keyed, w, worker._replace(at="search")))
        case "search":
            for driver in range(drivers):
                found = worker._replace(at="read", driver=driver)
                yield Step(f"w{w} finds d{driver}", _now(state, w, found))
            if state.faults.fleet:
                left = state._replace(faults=state.faults._replace(fleet=state.faults.fleet - 1))
                yield Step(f"w{w} gets no driver: deletes the key", _fails(left, w), fault=True)
        case "read":
            status, _ = state.orders[o]
            yield Step(f"w{w} reads o{o}, which is {status}", _now(state, w, worker._replace(at="write", read=status)))
        case "write":
            yield from _writes(state, w, repairs)
        case _:
            yield Step(f"w{w} acks e{o}", _now(state, w, IDLE))


def _writes(state: State, w: int, repairs: Repairs) -> Steps:
    worker = state.workers[w]
    o, driver = worker.order, worker.driver
    taken = any(x == (DISPATCHED, driver) for i, x in enumerate(state.orders) if i != o)
    if worker.read != PENDING:
        parked = _now(state._replace(keys=put(state.keys, o, 0)), w, worker._replace(at="ack"))
        yield Step(f"w{w} meets a domain error: deletes the key, parks", parked)
    elif repairs.conditional_update and state.orders[o][0] != PENDING:
        yield Step(f"w{w} updates no row", _now(state, w, worker._replace(at="ack")))
    elif repairs.one_order_per_driver and taken:
        manual = _now(_written(state, o, MANUAL, NO_HOLDER), w, worker._replace(at="ack"))
        yield Step(f"w{w} is refused d{driver}: fallback", manual)
    else:
        written = _written(state, o, DISPATCHED, driver)
        yield Step(f"w{w} gives o{o} to d{driver}", _now(written, w, worker._replace(at="ack")))


def _suffers(state: State, w: int) -> Steps:
    worker, faults = state.workers[w], state.faults
    back = put(state.queue, worker.order, state.queue[worker.order] + 1)
    if faults.crash:
        dead = _now(state, w, IDLE)._replace(faults=faults._replace(crash=faults.crash - 1))
        yield Step(f"w{w} DIES at {worker.at}", dead._replace(queue=back) if worker.owned else dead, fault=True)
    if faults.redelivery and worker.owned:
        left = state._replace(queue=back, faults=faults._replace(redelivery=faults.redelivery - 1))
        alive = _now(left, w, worker._replace(owned=False))
        yield Step(f"the broker REDELIVERS e{worker.order}, w{w} lives on at {worker.at}", alive, fault=True)


def _fails(state: State, w: int) -> State:
    worker = state.workers[w]
    back = put(state.queue, worker.order, state.queue[worker.order] + 1) if worker.owned else state.queue
    return _now(state._replace(keys=put(state.keys, worker.order, 0), queue=back), w, IDLE)


def _written(state: State, o: int, status: str, driver: int) -> State:
    was, _ = state.orders[o]
    broken = ""
    if was == CANCELLED and status != CANCELLED:
        broken = CANCELLED_MOVED
    elif was == status == DISPATCHED:
        broken = DISPATCHED_TWICE
    elif status == DISPATCHED and any(x == (DISPATCHED, driver) for i, x in enumerate(state.orders) if i != o):
        broken = DRIVER_TWICE
    orders = (*state.orders[:o], (status, driver), *state.orders[o + 1 :])
    return state._replace(orders=orders, broken=broken)


def _now(state: State, w: int, worker: Worker) -> State:
    return state._replace(workers=(*state.workers[:w], worker, *state.workers[w + 1 :]))
