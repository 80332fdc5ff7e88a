"""Every step that the model knows is taken in some run: a part that is never reached proves nothing."""

from __future__ import annotations

import re
from collections import deque

from tests.model.dispatch import dispatching
from tests.model.protocol import Faults, Setting, State

SETTINGS = (
    Setting(Faults(crash=1, redelivery=1, loss=1)),
    Setting(Faults(redelivery=2)),
    Setting(Faults(redelivery=1, fleet=1, redispatch=1), announcements=2),
    Setting(Faults(relay_crash=1, deliver=1, cancel=1)),
    Setting(Faults(fleet=1, manual=1), drivers=2),
    Setting(Faults(crash=1, failover=1), announcements=2, announces_again=True, t_max=True, workers=1),
    Setting(Faults(), orders=2, drivers=2),
    Setting(Faults(redispatch=1), announcements=2),
    Setting(Faults(cancel=1, change=1)),
)

STEPS = {
    "Redis FORGETS that e is done",
    "Redis FORGETS w's lease of e",
    "the lease of e runs out",
    "PostgreSQL FAILS OVER and forgets its last commit",
    "the exclusion of d from o runs out",
    "the broker LOSES e",
    "the broker LOSES e, redelivered",
    "the broker LOSES e, which w holds",
    "the broker REDELIVERS e, w lives on at save",
    "an operator reads o, which is DISPATCHED, to change its data",
    "an operator reads o, which is PENDING, to change its data",
    "the operator changes data of o: kept",
    "the operator finds o moved",
    "the operator saves o as CANCELLED: kept",
    "the operator saves o as DELIVERED: kept",
    "the operator saves o as DISPATCHED: kept",
    "the operator saves o as PENDING: kept",
    "the relay DIES before it marks e",
    "the relay marks e published",
    "the relay publishes e",
    "the sweeper announces o again by e",
    "the sweeper escalates o: StaleOrder",
    "the sweeper escalates o: kept",
    "the sweeper reads o, which is overdue",
    "w DIES at finish of e",
    "w DIES at save of e",
    "w acks e",
    "w acks e, which no broker receives",
    "w cannot give up o, AlreadyHandled",
    "w cannot give up o, StaleOrder",
    "w finds d busy, and no other driver",
    "w finds e done",
    "w finds e done, the inbox does not: takes over",
    "w finds e handled before",
    "w finds no driver",
    "w finds o DISPATCHED, notes e",
    "w finds o moved, reads again",
    "w finds the lease of e busy",
    "w finds the lease of e busy, to take it over",
    "w finds the lease of e changed",
    "w believes e and finds d",
    "w takes over the lease of e",
    "w gets no driver from the fleet",
    "w gives o to d",
    "w escalates o",
    "w leases e",
    "w leaves no mark of e",
    "w marks e done",
    "w no longer owns e, and forgets it",
    "w notes e as skipped",
    "w passes over d",
    "w receives e, redelivered",
    "w reads o, which is CANCELLED",
    "w reads o, which is DISPATCHED",
    "w sends a copy of e to wait",
}


def labels(setting: Setting) -> set[str]:
    """What may happen in this world, names without their numbers."""
    model = dispatching(setting)
    seen, front, found = {model.alike(model.start)}, deque[State]([model.start]), set[str]()
    while front:
        for step in model.steps(front.popleft()):
            found.add(re.sub(r"\b([wedo])\d+\b", r"\1", step.label))
            if (key := model.alike(step.state)) not in seen:
                seen.add(key)
                front.append(step.state)
    return found


def test_every_step_of_the_model_is_taken() -> None:
    taken = set[str]().union(*map(labels, SETTINGS))

    assert taken >= STEPS, STEPS - taken
