"""Every run of the models: its world, and what must come out. The tests run them, and so does `just model`."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

from tests.model import crashes, relay, seed, wakeups
from tests.model.checker import Answer, Model, Result, check
from tests.model.database import (
    CANCELLED_MOVED,
    DISPATCHED_TWICE,
    DRIVER_TWICE,
    EVENT_TWICE,
    EXCLUDED_DISPATCHED,
    OVERWRITTEN,
    STRANGER,
)
from tests.model.dispatch import dispatching
from tests.model.protocol import Faults, Guards, Setting
from tests.model.relay import Claims, relaying

STRANDED_FOREVER: Final = "no way home without a further fault"


@dataclass(frozen=True)
class Run:
    """`what` names what must go wrong, for a run whose `verdict` is not HOLDS."""

    name: str
    model: Callable[[], Model[Any]]
    verdict: Answer = Answer.HOLDS
    what: str = ""

    def __call__(self, states_max: int = 5_000_000) -> Result:
        model: Model[Hashable] = self.model()
        return check(model, states_max)


def ours(name: str, setting: Setting) -> Run:
    return Run(name, lambda: dispatching(setting))


def broken(name: str, what: str, setting: Setting) -> Run:
    return Run(name, lambda: dispatching(setting), Answer.BROKEN, what)


def stranded(name: str, setting: Setting) -> Run:
    return Run(name, lambda: dispatching(setting), Answer.STRANDED, STRANDED_FOREVER)


SMALL: Final = (
    ours("one order: death, zombie, fleet, cancel", Setting(Faults(crash=1, redelivery=1, fleet=1, cancel=1))),
    ours("one order: relay's death, death, cancel", Setting(Faults(crash=1, relay_crash=1, cancel=1))),
    ours("two orders, one driver: death, cancel", Setting(Faults(crash=1, cancel=1), orders=2)),
    ours("two orders, two drivers: death", Setting(Faults(crash=1), orders=2, drivers=2)),
    ours("two orders, two drivers: cancel, deliver", Setting(Faults(cancel=1, deliver=1), orders=2, drivers=2)),
    ours("redispatch: death, zombie", Setting(Faults(crash=1, redelivery=1, redispatch=1), announcements=2)),
    ours(
        "redispatch among two drivers, a zombie",
        Setting(Faults(redelivery=1, redispatch=1), drivers=2, announcements=2),
    ),
    ours("data changes twice: death, zombie, deliver", Setting(Faults(crash=1, redelivery=1, deliver=1, change=2))),
    ours("data changes: fleet, manual, cancel", Setting(Faults(fleet=1, manual=1, cancel=1, change=1))),
    ours(
        "data changes: redispatch among two drivers, T_max",
        Setting(Faults(redispatch=1, change=1), drivers=2, announcements=2, t_max=True),
    ),
    ours("manual: fleet, cancel", Setting(Faults(fleet=1, manual=1, cancel=1), orders=2)),
    ours(
        "re-published: the broker loses a message, death",
        Setting(Faults(crash=1, loss=1), announcements=2, announces_again=True),
    ),
    ours("T_max alone: loss, failover, death", Setting(Faults(crash=1, loss=1, failover=1), t_max=True)),
    ours(
        "both sweepers: loss, failover",
        Setting(Faults(loss=1, failover=1), announcements=2, announces_again=True, t_max=True),
    ),
    ours(
        "the fleet finds a driver without a record: death, manual",
        Setting(Faults(crash=1, fleet=1, manual=1), drivers=2, strangers=1),
    ),
    ours("take-over: two lost consumers, one dies", Setting(Faults(crash=1, redelivery=2))),
    Run("two relays, heads only", lambda: relaying(Claims.HEADS, relay.Faults(2, 2, 2))),
    Run("one relay's two loops are woken", lambda: wakeups.waking(wakeups.Rules(), (2,))),
    Run("two relays of a loop each are woken", lambda: wakeups.waking(wakeups.Rules(), (1, 1))),
    Run("a message that kills its worker", lambda: crashes.crashing(crashes.Guards())),
)

LARGE: Final = (
    ours(
        "one order: everything a worker meets",
        Setting(Faults(crash=2, redelivery=1, relay_crash=1, fleet=1, cancel=1)),
    ),
    ours("three workers, one order", Setting(Faults(crash=1, redelivery=1, fleet=1), workers=3)),
    ours(
        "data changes: all that may repeat an event, cancel",
        Setting(Faults(crash=1, redelivery=1, relay_crash=1, cancel=1, redispatch=1, change=1), announcements=2),
    ),
    ours("two orders, one driver", Setting(Faults(crash=1, redelivery=1, cancel=1), orders=2)),
    ours("two orders, two drivers", Setting(Faults(crash=1, cancel=1, deliver=1), orders=2, drivers=2)),
    ours(
        "redispatch: all that may repeat an event",
        Setting(Faults(crash=1, redelivery=1, relay_crash=1, redispatch=1), announcements=2),
    ),
    ours(
        "redispatched twice, manually once",
        Setting(Faults(redelivery=1, fleet=1, redispatch=2, manual=1), announcements=3),
    ),
    ours(
        "both sweepers: loss, failover, death",
        Setting(Faults(crash=1, loss=1, failover=1), announcements=2, announces_again=True, t_max=True),
    ),
    ours(
        "T_max alone, with operators: loss, failover",
        Setting(Faults(loss=1, failover=1, redispatch=1, cancel=1), announcements=2, t_max=True),
    ),
    Run("two relays are woken, one of two loops", lambda: wakeups.waking(wakeups.Rules(), (2, 1))),
    Run("two relays, heads only, three of each fault", lambda: relaying(Claims.HEADS, relay.Faults(3, 3, 3))),
)


def late(name: str, what: str = wakeups.LATE, **rules: bool) -> Run:
    return Run(name, lambda: wakeups.waking(wakeups.Rules(**rules), (2,)), Answer.BROKEN, what)


ALL_UP: Final = Guards()
BLIND: Final = Guards(version_check=False, one_event_per_version=False)

MUTANTS: Final = (
    broken(
        "no version condition, no event per version: a cancel overwrites a dispatch",
        OVERWRITTEN,
        Setting(Faults(cancel=1), guards=BLIND),
    ),
    broken(
        "nor the trigger on moves: a cancelled order is dispatched",
        CANCELLED_MOVED,
        Setting(Faults(cancel=1), guards=BLIND._replace(legal_moves=False)),
    ),
    broken(
        "no version condition, no event per version: two events of one order",
        DISPATCHED_TWICE,
        Setting(Faults(), drivers=2, announcements=2, announces_again=True, guards=BLIND),
    ),
    broken(
        "no version condition, no event per version, no inbox: a zombie",
        DISPATCHED_TWICE,
        Setting(Faults(redelivery=1), drivers=2, guards=BLIND._replace(inbox=False)),
    ),
    broken(
        "no unique index on drivers",
        DRIVER_TWICE,
        Setting(Faults(), orders=2, guards=ALL_UP._replace(one_order_per_driver=False)),
    ),
    broken(
        "no look at the drivers' records",
        STRANGER,
        Setting(Faults(), drivers=2, strangers=1, guards=ALL_UP._replace(registered_drivers=False)),
    ),
    broken(
        "drivers locked in Redis only",
        DRIVER_TWICE,
        Setting(Faults(), orders=2, guards=ALL_UP._replace(one_order_per_driver=False, redis_driver_lock=True)),
    ),
    broken(
        "no inbox: an old event dispatches a redispatched order",
        EVENT_TWICE,
        Setting(Faults(relay_crash=1, redispatch=1), announcements=2, guards=ALL_UP._replace(inbox=False)),
    ),
    broken(
        "the search alone leaves excluded drivers out, and a worker read them before the order",
        EXCLUDED_DISPATCHED,
        Setting(
            Faults(redispatch=1),
            drivers=2,
            announcements=3,
            announces_again=True,
            guards=ALL_UP._replace(exclusion_in_save=False, exclusion_after_order=False),
        ),
    ),
    broken(
        "the search alone leaves excluded drivers out, and a worker of the release before knows none",
        EXCLUDED_DISPATCHED,
        Setting(
            Faults(redispatch=1),
            drivers=2,
            announcements=2,
            guards=ALL_UP._replace(exclusion_in_save=False, exclusion_in_search=False),
        ),
    ),
    stranded("a busy lease is acknowledged", Setting(Faults(crash=1), guards=ALL_UP._replace(busy_waits=False))),
    broken(
        "no version condition, no event per version: a change of data overwrites a dispatch",
        OVERWRITTEN,
        Setting(Faults(change=1), guards=BLIND),
    ),
    stranded(
        "an order whose data changed is taken for handled",
        Setting(Faults(change=1), guards=ALL_UP._replace(stale_reads=False)),
    ),
    stranded("acknowledged first", Setting(Faults(crash=1), guards=ALL_UP._replace(ack_last=False))),
    stranded(
        "an event is noted as handled before the work, in a statement of its own",
        Setting(Faults(crash=1), guards=ALL_UP._replace(inbox_with_move=False)),
    ),
    stranded(
        "the original is forgotten before its copy waits",
        Setting(Faults(crash=1, fleet=1), guards=ALL_UP._replace(copy_first=False)),
    ),
    stranded("no sweeper, and the broker loses a message", Setting(Faults(loss=1))),
    stranded("no sweeper, and PostgreSQL forgets a commit", Setting(Faults(failover=1))),
    stranded(
        "no T_max: the re-publications may be used up too early",
        Setting(Faults(failover=1), announcements=2, announces_again=True),
    ),
    stranded(
        "a done mark is believed without the inbox",
        Setting(Faults(crash=1, failover=1), failover_between=True, guards=ALL_UP._replace(done_needs_inbox=False)),
    ),
    Run(
        "SKIP LOCKED without heads, no fault at all",
        lambda: relaying(Claims.SKIP_LOCKED, relay.Faults(0, 0, 0)),
        Answer.BROKEN,
        relay.OUT_OF_ORDER,
    ),
    late("quiet events are never notified of", quiet_timer=False),
    late("urgent events are notified of by the timer of the quiet ones", wakeups.LINGERS, urgent_at_once=False),
    late("a loop does not look for what its events held back", looks_behind=False),
    late("a loop forgets the notifications that came while it published", hears_meanwhile=False),
    late("a notification while all loops work is lost", keeps_notification=False),
    late("a notification is void for a claim younger than its oldest commit", void_by_newest=False),
    late("a notification is void for a claim beside another one", void_by_claim_alone=False),
    late("settle and claim in one statement", claims_after_commit=False),
    Run(
        "retry copies do not carry the number of lost consumers",
        lambda: crashes.crashing(crashes.Guards(copies_count=False)),
        Answer.BROKEN,
        crashes.ENDLESS,
    ),
    Run(
        "a message that may kill is handled beside others",
        lambda: crashes.crashing(crashes.Guards(alone=False)),
        Answer.BROKEN,
        crashes.BYSTANDER_PARKED,
    ),
)

NOT_LOAD_BEARING: Final = (
    ours(
        "without the version condition the outbox still has one event per version",
        Setting(Faults(redelivery=1, cancel=1), guards=ALL_UP._replace(version_check=False)),
    ),
    ours(
        "without one event per version, and without the trigger, the version condition is enough",
        Setting(Faults(redelivery=1, cancel=1), guards=ALL_UP._replace(one_event_per_version=False, legal_moves=False)),
    ),
    ours(
        "without Redis: leases only save work",
        Setting(Faults(crash=1, redelivery=1, relay_crash=1, cancel=1), guards=ALL_UP._replace(lease=False)),
    ),
    ours(
        "a lease taken over although it has changed only costs work",
        Setting(Faults(crash=1, redelivery=2), guards=ALL_UP._replace(take_over_compares=False)),
    ),
    ours(
        "a lease released without its token only costs work",
        Setting(Faults(crash=1, redelivery=1, fleet=1), guards=ALL_UP._replace(own_release=False)),
    ),
    ours(
        "a worker that knows no exclusions is refused by the database",
        Setting(
            Faults(redelivery=1, redispatch=1),
            drivers=2,
            announcements=2,
            guards=ALL_UP._replace(exclusion_in_search=False),
        ),
    ),
    ours(
        "exclusions read no earlier than the order are as new as its version, which is compared",
        Setting(
            Faults(redelivery=1, redispatch=1),
            drivers=2,
            announcements=2,
            guards=ALL_UP._replace(exclusion_in_save=False),
        ),
    ),
    ours(
        "without the inbox and without redispatch the version condition is enough",
        Setting(Faults(redelivery=1, relay_crash=1), guards=ALL_UP._replace(inbox=False)),
    ),
    ours(
        "a done mark is checked: a commit forgotten between two tries heals by the second",
        Setting(Faults(crash=1, failover=1), failover_between=True),
    ),
    ours(
        "a done mark believed without the inbox is healed by T_max",
        Setting(Faults(crash=1, failover=1), t_max=True, guards=ALL_UP._replace(done_needs_inbox=False)),
    ),
)

CLAIMED: Final = seed.Repairs(conditional_update=True, one_order_per_driver=True)

SEED: Final = (
    Run(
        "S1 a worker dies",
        lambda: seed.seed(seed.Faults(crash=1), workers=1),
        Answer.STRANDED,
        STRANDED_FOREVER,
    ),
    Run(
        "S2 a customer cancels",
        lambda: seed.seed(seed.Faults(cancel=1), workers=1),
        Answer.BROKEN,
        CANCELLED_MOVED,
    ),
    Run(
        "S3 two orders, no fault at all",
        lambda: seed.seed(seed.Faults(), orders=2, drivers=2, workers=1),
        Answer.BROKEN,
        DRIVER_TWICE,
    ),
    Run(
        "S4 with the updates its README claims, a worker dies",
        lambda: seed.seed(seed.Faults(crash=1), orders=2, drivers=2, repairs=CLAIMED),
        Answer.STRANDED,
        STRANDED_FOREVER,
    ),
    Run(
        "S5 with the updates its README claims, no process dies: a zombie whose fleet fails",
        lambda: seed.seed(seed.Faults(redelivery=1, fleet=1), repairs=CLAIMED),
        Answer.STRANDED,
        STRANDED_FOREVER,
    ),
    Run(
        "S6 its relay, order matters, no fault at all",
        lambda: relaying(Claims.PROCESSING, relay.Faults(0, 0, 0)),
        Answer.BROKEN,
        relay.OUT_OF_ORDER,
    ),
    Run(
        "S7 its relay, order does not matter, one failure",
        lambda: relaying(Claims.PROCESSING, relay.Faults(0, 1, 0), order_matters=False),
        Answer.STRANDED,
        STRANDED_FOREVER,
    ),
)
