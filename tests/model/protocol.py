"""The protocol as a finite model: what exists, and which guards are up.

Modelled is what several processes share, step by step: PostgreSQL (orders, inbox, outbox), the broker's queue of
announcements, Redis (leases and done marks), and for each process where it stands and what it has read. One step is
one statement, one call or one message, and every process may be interrupted between two. Time is not modelled: whatever
waits may end at any moment, so what holds here holds for every choice of timeouts.
"""

from __future__ import annotations

from typing import Final, NamedTuple

PENDING: Final = "PENDING"
DISPATCHED: Final = "DISPATCHED"
MANUAL: Final = "MANUAL_DISPATCH"
DELIVERED: Final = "DELIVERED"
CANCELLED: Final = "CANCELLED"

# An announcement ("event") in the outbox: an order was created, redispatched, or is re-published by the sweeper.
ABSENT, WAITING, PUBLISHED = 0, 1, 2
# What Redis knows about an event besides a lease held by a live worker, which is kept with the worker.
NOTHING, ORPHAN, DONE = 0, 1, 2
NO_HOLDER: Final = -1


class Order(NamedTuple):
    """`excluded` = the drivers, as bits, that no worker may give it."""

    status: str = PENDING
    driver: int = NO_HOLDER
    version: int = 1
    excluded: int = 0


class Database(NamedTuple):
    """What one PostgreSQL holds. `inbox` and `applied` are sets of events as bits; `applied`, which only the checker
    sees, are those that moved their order."""

    orders: tuple[Order, ...]
    outbox: tuple[int, ...]
    inbox: int = 0
    applied: int = 0


class Worker(NamedTuple):
    """A place of a worker with one message. `owned` = the broker still takes its answer; `leased` = Redis still has
    its token; `driver`, `version` and `excluded` are what it found and read. `redelivered`: its consumer was lost
    before; `seen`: the lease that it wants to take over is still the one that it saw; `first`: as far as it knows, no
    other consumer had the message."""

    at: str = "idle"
    event: int = NO_HOLDER
    owned: bool = False
    leased: bool = False
    driver: int = NO_HOLDER
    version: int = 0
    excluded: int = 0
    redelivered: bool = False
    seen: bool = False
    first: bool = False


IDLE: Final = Worker()


class Operator(NamedTuple):
    """An operator's request that has read an order and is about to save it as `wanted`; a change of its data leaves
    status and driver as it read them."""

    order: int
    wanted: str
    version: int
    driver: int
    data: bool = False


class Faults(NamedTuple):
    """How often each fault, and each manual transition, may still happen."""

    crash: int = 0
    redelivery: int = 0  # the broker redelivers a message while its worker continues as a zombie
    relay_crash: int = 0
    fleet: int = 0  # it fails, or finds no driver
    loss: int = 0  # the broker loses a message
    failover: int = 0  # PostgreSQL comes back without its last commit
    cancel: int = 0
    redispatch: int = 0
    deliver: int = 0
    manual: int = 0
    change: int = 0  # of an order's data: a version, and nothing else

    def less(self, name: str) -> Faults:
        return self._replace(**{name: getattr(self, name) - 1})


class State(NamedTuple):
    """`redelivered` = messages that come back from a lost consumer; they are not in `queue`. `announced` = how many
    events each order has used, which no failover takes back: ids are never used again."""

    db: Database
    queue: tuple[int, ...]
    redelivered: tuple[int, ...]
    redis: tuple[int, ...]
    workers: tuple[Worker, ...]
    faults: Faults
    announced: tuple[int, ...]
    relay: int = NO_HOLDER  # the event that is published and not yet marked so
    operator: Operator | None = None
    sweeper: Order | None = None  # the order as it read it, before it escalates it
    swept: int = NO_HOLDER  # which order that is
    locks: tuple[bool, ...] = ()  # drivers locked in Redis, for the mutant that does so
    before: Database | None = None  # what a failover would bring back
    broken: str = ""


class Guards(NamedTuple):
    """What protects us, each to be taken away alone. The defaults are what the code does."""

    version_check: bool = True  # `where version = ...` of `save`
    one_event_per_version: bool = True  # the outbox's unique index
    legal_moves: bool = True  # the trigger `refuse_illegal_move`
    one_order_per_driver: bool = True  # the orders' unique index
    registered_drivers: bool = True  # `save` looks for the driver's record
    exclusion_in_save: bool = True  # the trigger `refuse_excluded_driver`
    exclusion_in_search: bool = True  # a worker searches without the excluded drivers that it read
    exclusion_after_order: bool = True  # it reads them no earlier than the order; else when it receives its message
    inbox: bool = True  # the inbox row, in the statement that moves the order
    lease: bool = True  # anything in Redis at all
    busy_waits: bool = True  # a busy lease means "later"; else "duplicate, forget it"
    done_needs_inbox: bool = True  # a done mark is believed only if the inbox knows the event
    take_over: bool = (
        True  # a redelivered message may take over the lease that it finds, whether its holder lives or not
    )
    take_over_compares: bool = True  # only if the lease is still the one that it saw
    own_release: bool = True  # a lease is released by its owner only
    ack_last: bool = True
    stale_reads: bool = True  # a worker that finds the order moved reads it again; else it takes it for handled
    copy_first: bool = True  # what is tried later is copied before the original is forgotten
    inbox_with_move: bool = True  # else the event is noted first, by a statement of its own
    redis_driver_lock: bool = False  # a driver is locked in Redis, by a key that expires


class Setting(NamedTuple):
    """The size of the world. The last `strangers` of the drivers have no record, and the fleet finds them all the same.
    `announcements` = events each order may have; what `redispatch` leaves of them the
    sweeper may use. `t_max` = the sweeper escalates orders that wait too long. `failover_between` = PostgreSQL
    fails over only while no worker works, and forgets nothing whose message was acknowledged."""

    faults: Faults
    orders: int = 1
    drivers: int = 1
    strangers: int = 0
    workers: int = 2
    announcements: int = 1
    announces_again: bool = False
    t_max: bool = False
    failover_between: bool = False
    guards: Guards = Guards()

    def order_of(self, event: int) -> int:
        return event // self.announcements

    def events_of(self, order: int) -> range:
        return range(order * self.announcements, (order + 1) * self.announcements)


def start(setting: Setting) -> State:
    """Every order was just accepted, its first event waits in the outbox, and no process has acted yet."""
    events = setting.orders * setting.announcements
    first = {setting.events_of(order)[0] for order in range(setting.orders)}
    return State(
        db=Database((Order(),) * setting.orders, tuple(WAITING if e in first else ABSENT for e in range(events))),
        queue=(0,) * events,
        redelivered=(0,) * events,
        redis=(NOTHING,) * events,
        workers=(IDLE,) * setting.workers,
        faults=setting.faults,
        announced=(1,) * setting.orders,
        locks=(False,) * setting.drivers if setting.guards.redis_driver_lock else (),
    )


def put(values: tuple[int, ...], at: int, value: int) -> tuple[int, ...]:
    return (*values[:at], value, *values[at + 1 :])


def has(bits: int, number: int) -> bool:
    """Whether the number is in the set, of events or drivers."""
    return bool(bits >> number & 1)


def committed(state: State, db: Database, broken: str = "") -> State:
    """A commit, which a failover may yet take back."""
    before = state.db if state.faults.failover and db != state.db else state.before
    return state._replace(db=db, broken=broken, before=before)
