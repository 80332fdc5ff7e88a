"""Random acts on the real use cases and adapters, one after another and two at once, against a simple model.

Hypothesis chooses the acts and finds the shortest list of them that goes wrong. What happens at once must be as if
one had happened wholly before the other.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gofleet.adapters.postgres.pool import create_pool
from gofleet.domain.errors import (
    AlreadyHandled,
    DriverBusy,
    GoFleetError,
    InvalidTransition,
    MessageRefused,
    OrderIdConflict,
    OrderNotFound,
    StaleOrder,
    Unavailable,
    UnknownDriver,
)
from gofleet.domain.events import ORDERS_DISPATCH_REQUESTED
from gofleet.domain.messages import ACK, DISPATCH_QUEUE, QUEUES, Message, Receipt
from gofleet.domain.order import TRANSITIONS, Order, Reason, Status
from gofleet.domain.principal import CLIENT, WORKER
from gofleet.testing.leases import MemoryLeases
from gofleet.usecases.maintenance import RepublishPending
from gofleet.usecases.relay import RelayOutbox
from tests.model.expected import STRANGERS, Act, ByHand, Create, Heard, Move, Picture, Row, Sweep, Work
from tests.model.world import ALL, EXCLUSION_SECONDS, MemoryStore, PostgresStore, Store, World

T = TypeVar("T")

ORDER_IDS = ("o-1", "o-2", "o-3")
REGISTERED = ("ana", "ben", "cleo")
DRIVERS = (*REGISTERED, *STRANGERS)
BATCH = 2
EXPECTED = (InvalidTransition, OrderNotFound, OrderIdConflict, DriverBusy, UnknownDriver)
"""Errors of the manual use cases that leave the order unchanged."""

order_ids = st.sampled_from(ORDER_IDS)
found = st.one_of(
    st.none(), st.permutations(DRIVERS).flatmap(lambda all: st.sampled_from([tuple(all[:n]) for n in range(5)]))
)
works = st.builds(Work, st.integers(0, 7), found, st.booleans(), st.integers(0, 1))
acts: st.SearchStrategy[Act] = st.one_of(
    st.builds(Create, order_ids, st.integers(1, 2), st.sampled_from((True, True, True, False))),
    st.builds(Move, order_ids, st.sampled_from((Status.CANCELLED, Status.DELIVERED, Status.PENDING))),
    st.builds(ByHand, order_ids, st.sampled_from(DRIVERS)),
    works,
    works,
    st.just(Sweep()),
)
answers = st.lists(
    st.sampled_from(("confirmed", "confirmed", "refused", "lost", "unheard")), min_size=BATCH, max_size=BATCH
)
zombie_moves = st.sampled_from((Status.DISPATCHED, Status.MANUAL_DISPATCH, Status.CANCELLED, Status.PENDING))


@dataclass
class Wire:
    """A publisher that answers as told: `unheard` = the broker has it, and its confirmation was lost on the way."""

    answers: list[str]
    dies: bool
    out: list[Message] = field(default_factory=list[Message])
    claimed: list[Message] = field(default_factory=list[Message])

    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        self.claimed = list(messages)
        results = self.answers[: len(messages)]
        self.out += [
            message for message, answer in zip(messages, results, strict=True) if answer in {"confirmed", "unheard"}
        ]
        if self.dies:
            raise Died
        return [_ANSWERS[answer] for answer in results]

    async def put_back(self, deliveries: Sequence[object]) -> list[GoFleetError | None]:
        raise AssertionError("a relay of events puts nothing back")


class Died(Exception):
    """The relay's process, between the publishing and the marking."""


_ANSWERS: dict[str, GoFleetError | None] = {
    "confirmed": None,
    "refused": MessageRefused("no queue receives it"),
    "lost": Unavailable("the broker", "gone"),
    "unheard": Unavailable("the broker", "gone"),
}


class Machine(RuleBasedStateMachine):
    """`picture` = what must be true now.

    PostgreSQL decides races, so no precondition may depend on the result of one: the
    same choices must be possible however it went. Rules with nothing to do then do nothing.
    """

    def __init__(self, store: Store, runner: asyncio.Runner) -> None:
        super().__init__()
        self.runner = runner
        self.world = World(store)
        self.picture = Picture()
        self.zombies: list[Order] = []  # orders as read by requests that have not saved yet
        self.first_heard: dict[str, list[int]] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def heard(self) -> list[Heard]:
        return [Heard(message.event_id, message.order_id) for message in self.world.heard]

    @initialize()
    def two_orders_are_announced(self) -> None:
        """So that few steps are spent on getting anything to happen at all."""
        self.run(self.world.register(*REGISTERED))
        for order_id in ORDER_IDS[:2]:
            self.happens(Create(order_id, 1, has_pickup=True))
        self.relay_publishes(["confirmed"] * BATCH, dies=False)

    @rule(act=acts)
    def happens(self, act: Act) -> None:
        self.picture = self.picture.after(act, heard=self.heard())
        try:
            answer = self.run(self.world.perform(act))
            if isinstance(act, Work) and not act.patient:
                assert answer in {None, ACK}, answer  # without a search time every message is settled at once
        except EXPECTED as error:
            assert not isinstance(act, Work | Sweep), error

    @rule(one=acts, other=acts)
    def happen_at_once(self, one: Act, other: Act) -> None:
        self._at_once(one, other)

    @rule(one=works, other=works, same=st.booleans())
    def two_workers_at_once(self, one: Work, other: Work, same: bool) -> None:
        """`same` = both have the same message, redelivered while the first still lives."""
        self._at_once(one, Work(one.number, other.drivers, other.patient, other.redis) if same else other)

    @rule(number=st.integers(0, 2))
    def an_order_waits_again(self, number: int) -> None:
        """What `happens` does too, but seldom enough to miss what follows from it."""
        if given := self.given():
            self.happens(Move(given[number % len(given)], Status.PENDING))

    @rule(number=st.integers(0, 3), drivers=found, patient=st.booleans())
    def a_handled_event_comes_again(self, number: int, drivers: tuple[str, ...] | None, patient: bool) -> None:
        """Its order waits again, because of a later event, and Redis knows nothing."""
        self.redis_forgets_everything()
        if not self.handled_of_waiting():
            self.an_order_waits_again(number)
        if again := self.handled_of_waiting():
            self.happens(Work(again[number % len(again)], drivers, patient, redis=0))

    def given(self) -> list[str]:
        """The orders that a redispatch may move."""
        return [id for id, known in self.picture.orders.items() if Status.PENDING in TRANSITIONS[known.status]]

    def handled_of_waiting(self) -> list[int]:
        """Which of the messages heard were handled before, though their order waits."""
        orders, inbox = self.picture.orders, self.picture.inbox
        return [
            number
            for number, message in enumerate(self.world.heard)
            if message.event_id in inbox and orders[message.order_id].status is Status.PENDING
        ]

    def _at_once(self, one: Act, other: Act) -> None:
        heard = self.heard()
        possible = [self.picture.after(one, other, heard=heard), self.picture.after(other, one, heard=heard)]
        if isinstance(one, Work) and isinstance(other, Work) and one.redis == other.redis:
            # The same event in the same Redis: one of them may find the lease busy, and wait.
            possible += [self.picture.after(one, heard=heard), self.picture.after(other, heard=heard)]

        async def both() -> list[object]:
            return list(await asyncio.gather(*map(self.world.perform, (one, other)), return_exceptions=True))

        for answer in self.run(both()):
            assert not isinstance(answer, BaseException) or isinstance(answer, EXPECTED), repr(answer)
        actual = self.run(self.world.store.look())
        assert actual in possible, f"{actual}\nis none of\n" + "\n".join(map(str, possible))
        self.picture = actual

    @rule(results=answers, dies=st.sampled_from((False, False, False, True)))
    def relay_publishes(self, results: list[str], dies: bool) -> None:
        wire = Wire(results, dies)
        with suppress(Unavailable, Died):
            self.run(RelayOutbox(self.world.store.outbox, wire, BATCH)())
        self.run(self.world.store.let_backoffs_pass())
        self._was_claimed(wire.claimed)
        for message, answer in zip(wire.claimed, results, strict=False):
            if answer == "confirmed" and not dies:
                self.picture.published(_row(message))
        for message in wire.out:
            self._hear(message)

    @rule()
    def two_relays_claim_at_once(self) -> None:
        async def claim_both() -> tuple[list[Message], list[Message]]:
            outbox = self.world.store.outbox
            async with outbox.claiming(1) as one, outbox.claiming(BATCH) as other:
                await one.settle([None] * len(one.messages))
                await other.settle([None] * len(other.messages))
                return list(one.messages), list(other.messages)

        mine, others = self.run(claim_both())
        orders = [message.order_id for message in (*mine, *others)]
        assert len(orders) == len(set(orders)) == min(1 + BATCH, len(self.picture.heads()))
        for message in (*mine, *others):
            self.picture.published(_row(message))
            self._hear(message)

    def _was_claimed(self, messages: Sequence[Message]) -> None:
        heads = self.picture.heads()
        assert {_row(message) for message in messages} <= set(heads)
        assert len(messages) == min(BATCH, len(heads))

    def _hear(self, message: Message) -> None:
        if message.type in QUEUES[DISPATCH_QUEUE] and message.event_id not in {
            one.event_id for one in self.world.heard
        }:
            self.world.heard.append(message)
        sequences = self.first_heard.setdefault(message.order_id, [])
        if message.type != ORDERS_DISPATCH_REQUESTED and message.sequence not in sequences:
            sequences.append(message.sequence)

    @rule()
    def sweeper_announces_again(self) -> None:
        expected = self.picture.announced_again()
        assert self.run(RepublishPending(self.world.store.orders, 0.0, ALL)()) == len(expected)

    @rule()
    def redis_forgets_everything(self) -> None:
        self.world.redis = [MemoryLeases(), MemoryLeases()]

    @rule(number=st.integers(0, 2))
    def operator_reads(self, number: int) -> None:
        order_id = sorted(self.picture.orders)[number % len(self.picture.orders)]
        self.zombies.append(self.run(self.world.store.orders.get(order_id)))

    @precondition(lambda self: self.zombies)
    @rule(number=st.integers(0, 4), wanted=zombie_moves, driver=st.sampled_from(DRIVERS), event=st.integers(0, 9))
    def a_zombie_saves_what_it_read(self, number: int, wanted: Status, driver: str, event: int) -> None:
        """The order as it was read, however long ago; with the receipt of one of its events, if it has any."""
        order = copy.deepcopy(self.zombies[number % len(self.zombies)])
        if wanted not in TRANSITIONS[order.status]:
            return
        seen = order.version
        _move(order, wanted, driver)
        own = [message for message in self.world.heard if message.order_id == order.id] if event else []
        receipt = Receipt("dispatch", own[event % len(own)].event_id) if own else None
        errors = self._errors_of_saving(order, seen, receipt)
        try:
            self.run(self.world.store.orders.save(order, receipt))
        except GoFleetError as error:
            assert type(error) in errors, f"{error!r}, expected one of {errors}"
        else:
            assert not errors, f"saved, though {errors} was due"
            self.picture.moved(order.id, wanted, driver if wanted is Status.DISPATCHED else None, order.reason)
            if receipt:
                self.picture.inbox[receipt.event_id] = wanted.value.lower()

    def _errors_of_saving(self, order: Order, seen: int, receipt: Receipt | None) -> set[type[GoFleetError]]:
        known = self.picture.orders[order.id]
        if known.version != seen:
            return {StaleOrder}
        errors = set[type[GoFleetError]]()
        if receipt and receipt.event_id in self.picture.inbox:
            errors.add(AlreadyHandled)
        taken = {*self.picture.busy(), *STRANGERS, *known.excluded}
        if order.status is Status.DISPATCHED and order.driver_id in taken:
            errors.add(DriverBusy)
        return errors

    @invariant()
    def all_is_as_it_must_be(self) -> None:
        actual = self.run(self.world.store.look())
        assert actual == self.picture
        assert not self.world.parked.rows

    @invariant()
    def every_version_has_exactly_one_event(self) -> None:
        rows = [row for row in self.picture.rows if row.type != ORDERS_DISPATCH_REQUESTED]
        for order_id, known in self.picture.orders.items():
            sequences = [row.sequence for row in rows if row.order_id == order_id]
            assert sequences == list(range(1, known.version + 1))

    @invariant()
    def no_driver_holds_two_orders(self) -> None:
        live = [known.driver for known in self.picture.orders.values() if known.status is Status.DISPATCHED]
        assert len(live) == len(set(live))

    @invariant()
    def events_of_an_order_leave_in_order(self) -> None:
        for sequences in self.first_heard.values():
            assert sequences == list(range(1, len(sequences) + 1))

    def teardown(self) -> None:
        """The whole history is legal, without gaps, and leads to where the orders stand."""
        last: dict[str, tuple[str, int]] = {}
        for order_id, was, became, version in self.run(self.world.store.log()):
            before, before_version = last.get(order_id, (None, 0))
            assert (was, version) == (before, before_version + 1)
            assert was is None or Status(became) in TRANSITIONS[Status(was)]
            last[order_id] = became, version
        orders = self.run(self.world.store.look()).orders
        assert all((orders[id].status.value, orders[id].version) == ended for id, ended in last.items())


def _row(message: Message) -> Row:
    return Row(message.order_id, message.sequence, message.type)


def _move(order: Order, wanted: Status, driver: str) -> None:
    match wanted:
        case Status.DISPATCHED:
            order.dispatch(driver, by=WORKER)
        case Status.MANUAL_DISPATCH:
            order.send_to_manual(Reason.NO_DRIVER, by=WORKER)
        case Status.CANCELLED:
            order.cancel(by=CLIENT)
        case _:
            order.redispatch(by=CLIENT, exclusion_seconds=EXCLUSION_SECONDS)


def bounded(examples: int) -> settings:
    """The same examples each time, so that a red build stays red; `print_blob` tells how to see it again."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(
        max_examples=examples,
        stateful_step_count=40,
        derandomize=True,
        deadline=None,
        print_blob=True,
        suppress_health_check=slow,
    )


def test_memory_keeps_every_promise() -> None:
    with asyncio.Runner() as runner:

        class InMemory(Machine):
            def __init__(self) -> None:
                super().__init__(MemoryStore(), runner)

        run_state_machine_as_test(InMemory, settings=bounded(150))


@pytest.mark.timeout(600)  # only for a failure, whose shortest form takes long to find
def test_postgres_keeps_every_promise(clean_database: str) -> None:
    with asyncio.Runner() as runner:
        store = PostgresStore(create_pool(clean_database, size=4, wait_seconds=5))
        runner.run(store.pool.open())

        class InPostgres(Machine):
            def __init__(self) -> None:
                runner.run(store.clear())
                super().__init__(store, runner)

        try:
            run_state_machine_as_test(InPostgres, settings=bounded(80))
        finally:
            runner.run(store.pool.close())
