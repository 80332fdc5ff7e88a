"""Relay, broker, Redis, PostgreSQL, sweeper and operators around the workers: all possible next steps."""

from __future__ import annotations

from collections.abc import Hashable

from tests.model import database
from tests.model.checker import Model, Step
from tests.model.database import LEGAL, save
from tests.model.protocol import (
    CANCELLED,
    DELIVERED,
    DISPATCHED,
    DONE,
    IDLE,
    MANUAL,
    NO_HOLDER,
    NOTHING,
    ORPHAN,
    PENDING,
    PUBLISHED,
    WAITING,
    Operator,
    Setting,
    State,
    committed,
    has,
    put,
    start,
)
from tests.model.worker import Steps, compared, worker_steps

ACTS = {"cancel": CANCELLED, "deliver": DELIVERED, "redispatch": PENDING, "manual": DISPATCHED}
OPEN = {was for was, _ in LEGAL}


def dispatching(setting: Setting) -> Model[State]:
    """The model of the whole path of an order, from its commit to its driver."""

    def steps(state: State) -> Steps:
        yield from _relay(setting, state)
        yield from _broker(setting, state)
        yield from _redis(setting, state)
        yield from _postgres(setting, state)
        yield from _sweeper(setting, state)
        yield from _operator_reads(setting, state)
        for w in range(setting.workers):
            yield from worker_steps(setting, state, w)

    def compared_steps(state: State) -> Steps:
        return (compared(state, step) for step in steps(state))

    return Model(start(setting), compared_steps, lambda state: state.broken, _at_rest, _alike)


def _at_rest(state: State) -> bool:
    """No message is under way and no order is pending: each has a driver, is in manual dispatch, or is over."""
    return (
        not any((*state.queue, *state.redelivered))
        and state.relay == NO_HOLDER
        and state.operator is None
        and state.sweeper is None
        and all(worker == IDLE for worker in state.workers)
        and WAITING not in state.db.outbox
        and all(order.status != PENDING for order in state.db.orders)
    )


def _alike(state: State) -> Hashable:
    """Which of the workers stands where makes no difference."""
    first, *others = state.workers
    if all(first <= other for other in others) and len(others) < 2:
        return state
    return state._replace(workers=tuple(sorted(state.workers)))


def _relay(setting: Setting, state: State) -> Steps:
    """It publishes, and marks after the confirmation; the order of events is relay.py's matter."""
    if state.relay != NO_HOLDER:
        marked = state.db._replace(outbox=put(state.db.outbox, state.relay, PUBLISHED))
        yield Step(f"the relay marks e{state.relay} published", committed(state, marked)._replace(relay=NO_HOLDER))
        if state.faults.relay_crash:
            dead = state._replace(relay=NO_HOLDER, faults=state.faults.less("relay_crash"))
            yield Step(f"the relay DIES before it marks e{state.relay}", dead, fault=True)
        return
    for order in range(setting.orders):
        head = next((e for e in setting.events_of(order) if state.db.outbox[e] == WAITING), None)
        if head is not None:
            queue = put(state.queue, head, state.queue[head] + 1)
            yield Step(f"the relay publishes e{head}", state._replace(queue=queue, relay=head))


def _broker(setting: Setting, state: State) -> Steps:
    if not state.faults.loss:
        return
    left = state._replace(faults=state.faults.less("loss"))
    for event, waiting in enumerate(state.queue):
        if waiting:
            lost = left._replace(queue=put(state.queue, event, waiting - 1))
            yield Step(f"the broker LOSES e{event}", lost, fault=True)
    for event, waiting in enumerate(state.redelivered):
        if waiting:
            lost = left._replace(redelivered=put(state.redelivered, event, waiting - 1))
            yield Step(f"the broker LOSES e{event}, redelivered", lost, fault=True)
    for w, worker in enumerate(state.workers):
        if worker.owned:
            workers = (*state.workers[:w], worker._replace(owned=False), *state.workers[w + 1 :])
            yield Step(
                f"the broker LOSES e{worker.event}, which w{w} holds", left._replace(workers=workers), fault=True
            )


def _redis(setting: Setting, state: State) -> Steps:
    """Any key may vanish at any time. Only keys without an owner are certain to expire."""
    for event, mark in enumerate(state.redis):
        if mark != NOTHING:
            label = "Redis FORGETS that e{} is done" if mark == DONE else "the lease of e{} runs out"
            gone = state._replace(redis=put(state.redis, event, NOTHING))
            yield Step(label.format(event), gone, fault=mark != ORPHAN)
    for w, worker in enumerate(state.workers):
        if worker.leased:
            workers = (*state.workers[:w], worker._replace(leased=False), *state.workers[w + 1 :])
            yield Step(f"Redis FORGETS w{w}'s lease of e{worker.event}", state._replace(workers=workers), fault=True)
    for driver, locked in enumerate(state.locks):
        if locked:
            locks = (*state.locks[:driver], False, *state.locks[driver + 1 :])
            yield Step(f"the lock of d{driver} runs out", state._replace(locks=locks))


def _postgres(setting: Setting, state: State) -> Steps:
    for o, order in enumerate(state.db.orders):
        for driver in range(setting.drivers):
            if order.status == PENDING and has(order.excluded, driver):
                ended = order._replace(excluded=order.excluded & ~(1 << driver))
                orders = (*state.db.orders[:o], ended, *state.db.orders[o + 1 :])
                later = state._replace(db=state.db._replace(orders=orders))
                yield Step(f"the exclusion of d{driver} from o{o} runs out", later)
    if state.before is None or not state.faults.failover:
        return
    if setting.failover_between and any(worker != IDLE for worker in state.workers):
        return
    promoted = state._replace(db=state.before, before=None, faults=state.faults.less("failover"))
    yield Step("PostgreSQL FAILS OVER and forgets its last commit", promoted, fault=True)


def _sweeper(setting: Setting, state: State) -> Steps:
    if setting.announces_again:
        yield from _announces_again(setting, state)
    if state.sweeper is not None:
        saved = save(setting, state.db, state.swept, (MANUAL, NO_HOLDER), state.sweeper.version)
        after = committed(state, saved.db, saved.broken)._replace(sweeper=None, swept=NO_HOLDER)
        yield Step(f"the sweeper escalates o{state.swept}: {saved.how}", after)
    elif setting.t_max:
        for o, order in enumerate(state.db.orders):
            if order.status == PENDING:
                yield Step(f"the sweeper reads o{o}, which is overdue", state._replace(sweeper=order, swept=o))


def _announces_again(setting: Setting, state: State) -> Steps:
    """One statement: a new event for an order that waits with nothing unpublished."""
    for o, order in enumerate(state.db.orders):
        if order.status == PENDING and state.announced[o] < setting.announcements:
            if any(state.db.outbox[e] == WAITING for e in setting.events_of(o)):
                continue
            event = setting.events_of(o)[state.announced[o]]
            db = state.db._replace(outbox=put(state.db.outbox, event, WAITING))
            used = put(state.announced, o, state.announced[o] + 1)
            yield Step(f"the sweeper announces o{o} again by e{event}", committed(state, db)._replace(announced=used))


def _operator_reads(setting: Setting, state: State) -> Steps:
    """An operator reads, decides and saves; after a lost race it reads again, as in usecases/transitions.py."""
    if state.operator is not None:
        saves = _change_saves if state.operator.data else _operator_saves
        yield from saves(setting, state, state.operator)
        return
    yield from _changes(setting, state)
    for act, wanted in ACTS.items():
        if not getattr(state.faults, act):
            continue
        for o, order in enumerate(state.db.orders):
            if (order.status, wanted) not in LEGAL or (act == "manual" and order.status != MANUAL):
                continue
            if act == "redispatch" and state.announced[o] >= setting.announcements:
                continue
            for driver in range(setting.drivers) if act == "manual" else (NO_HOLDER,):
                operator = Operator(o, wanted, order.version, driver)
                reading = state._replace(operator=operator, faults=state.faults.less(act))
                yield Step(f"an operator reads o{o}, which is {order.status}, to {act} it", reading, fault=True)


def _changes(setting: Setting, state: State) -> Steps:
    """A change of data, until the order has ended. After a lost race it is made of what is read again, so that it may
    change neither the status nor the driver that it did not read."""
    for o, order in enumerate(state.db.orders):
        if state.faults.change and order.status in OPEN:
            operator = Operator(o, order.status, order.version, order.driver, data=True)
            reading = state._replace(operator=operator, faults=state.faults.less("change"))
            yield Step(f"an operator reads o{o}, which is {order.status}, to change its data", reading, fault=True)


def _change_saves(setting: Setting, state: State, operator: Operator) -> Steps:
    o, stored = operator.order, state.db.orders[operator.order]
    saved = save(setting, state.db, o, (operator.wanted, operator.driver), operator.version, data=True)
    if saved.how == database.STALE:
        again = operator._replace(wanted=stored.status, version=stored.version, driver=stored.driver)
        after = state._replace(operator=again if stored.status in OPEN else None)
        yield Step(f"the operator finds o{o} moved", after)
        return
    yield Step(
        f"the operator changes data of o{o}: {saved.how}",
        committed(state, saved.db, saved.broken)._replace(operator=None),
    )


def _operator_saves(setting: Setting, state: State, operator: Operator) -> Steps:
    o, stored = operator.order, state.db.orders[operator.order]
    again = operator.wanted == PENDING
    if again and state.announced[o] >= setting.announcements:
        yield Step("the operator gives up: the model has no event left", state._replace(operator=None))
        return
    new = setting.events_of(o)[state.announced[o]] if again else NO_HOLDER
    saved = save(setting, state.db, o, (operator.wanted, operator.driver), operator.version, new=new)
    if saved.how == database.STALE and (stored.status, operator.wanted) in LEGAL:
        yield Step(f"the operator finds o{o} moved", state._replace(operator=operator._replace(version=stored.version)))
        return
    after = committed(state, saved.db, saved.broken)._replace(operator=None)
    if saved.how == database.KEPT:
        if again:
            after = after._replace(announced=put(state.announced, o, state.announced[o] + 1))
        if state.locks and stored.driver != NO_HOLDER:
            after = after._replace(locks=(*state.locks[: stored.driver], False, *state.locks[stored.driver + 1 :]))
    yield Step(f"the operator saves o{o} as {operator.wanted}: {saved.how}", after)
