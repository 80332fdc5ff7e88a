"""One guard taken out of the real code at a time, and what is then found at the latest after a few storms."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import LiteralString, cast

import psycopg
import pytest

from gofleet.adapters.dispatcher import Dispatcher, IncomingMessage
from gofleet.adapters.postgres.orders import ORDERS
from gofleet.adapters.postgres.outbox import OUTBOX, PostgresClaim
from gofleet.adapters.postgres.queries import Queries
from gofleet.adapters.redis.leases import RedisLeases
from gofleet.domain.errors import GoFleetError
from gofleet.domain.messages import ACK, Delivery, Outcome
from gofleet.guards import idempotency
from gofleet.guards.idempotency import Idempotency
from gofleet.usecases.maintenance import RepublishPending, SweepOrders
from tests.mutants.dice import FULL_OF_ZOMBIES, LOSING, REPEATING, Weather


@dataclass(frozen=True)
class Patient:
    """What is operated on: this process, and the database."""

    patch: pytest.MonkeyPatch
    conninfo: str

    def cut(self, queries: Queries, name: str, pattern: str, instead: str = "") -> None:
        """Replace the one place of the statement that matches."""
        mutated, count = re.subn(pattern, instead, queries.statements[name], flags=re.S)
        assert count == 1, f"{name} has {count} places that match"
        self.patch.setitem(queries.statements, name, cast("LiteralString", mutated))

    def drop(self, *what: LiteralString) -> None:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            for each in what:
                connection.execute(b"drop " + each.encode())


def save_whatever_was_read(patient: Patient) -> None:
    patient.cut(ORDERS, "save", r" and orders.version = asked.stored_version")
    patient.cut(ORDERS, "save", r" and orders.version = moving.stored_version")


def save_whatever_was_read_with_nothing_behind_it(patient: Patient) -> None:
    save_whatever_was_read(patient)
    patient.drop("index outbox_one_event_per_version", "trigger refuse_illegal_move on orders")


def drivers_without_a_limit(patient: Patient) -> None:
    patient.drop("index one_live_order_per_driver")


def busy_is_done(patient: Patient) -> None:
    def forget_it(seconds: float) -> Outcome:
        return ACK

    patient.patch.setattr(idempotency, "Retry", forget_it)


def ack_first(patient: Patient) -> None:
    handle = Dispatcher._handle  # pyright: ignore[reportPrivateUsage]

    async def ack_and_handle(self: Dispatcher, held: IncomingMessage) -> None:
        await held.ack()
        await handle(self, held)

    patient.patch.setattr(Dispatcher, "_handle", ack_and_handle)


def no_sweeper(patient: Patient) -> None:
    async def nothing(_: object) -> int:
        return 0

    patient.patch.setattr(SweepOrders, "__call__", nothing)
    patient.patch.setattr(RepublishPending, "__call__", nothing)


def claim_without_heads(patient: Patient) -> None:
    patient.cut(OUTBOX, "claim", r"and seq = \(.*\)\n(?=order by)")


def no_receipt(patient: Patient) -> None:
    patient.cut(ORDERS, "save", r"(?<=from free where consumer is not null)", " and false")
    patient.cut(ORDERS, "save", r"(?<=from free) where consumer is null or .*(?=\n\), moved)")


def published_whatever_the_broker_says(patient: Patient) -> None:
    settle = PostgresClaim.settle

    async def settle_all(self: PostgresClaim, answers: Sequence[GoFleetError | None]) -> None:
        await settle(self, [None] * len(answers))

    patient.patch.setattr(PostgresClaim, "settle", settle_all)


def release_whosever_it_is(patient: Patient) -> None:
    release = RedisLeases.release

    async def release_any(self: RedisLeases, key: str, token: str) -> None:
        await self.take_over(key, token)
        await release(self, key, token)

    patient.patch.setattr(RedisLeases, "release", release_any)


def done_before_the_commit(patient: Patient) -> None:
    handle = Idempotency._handle  # pyright: ignore[reportPrivateUsage]

    async def finish_and_handle(self: Idempotency, delivery: Delivery, key: str, token: str) -> Outcome:
        await self.leases.finish(key, token)
        return await handle(self, delivery, key, token)

    patient.patch.setattr(Idempotency, "_handle", finish_and_handle)


@dataclass(frozen=True)
class Mutant:
    operate: Callable[[Patient], None]
    finding: str
    weather: Weather = REPEATING


MUTANTS = [
    Mutant(save_whatever_was_read, "a lost race that nobody foresaw"),
    Mutant(save_whatever_was_read_with_nothing_behind_it, "not exactly one event for each version"),
    Mutant(save_whatever_was_read_with_nothing_behind_it, "an illegal move"),
    Mutant(drivers_without_a_limit, "a driver with two orders at once"),
    Mutant(busy_is_done, "an order left waiting"),
    Mutant(ack_first, "an order left waiting"),
    Mutant(no_sweeper, "an order left waiting", LOSING),
    Mutant(claim_without_heads, "published out of order"),
    Mutant(no_receipt, "a dispatch without its receipt"),
    Mutant(published_whatever_the_broker_says, "marked as published, and the broker never had it"),
    Mutant(published_whatever_the_broker_says, "an order left waiting"),
    Mutant(release_whosever_it_is, "a lease held by two", FULL_OF_ZOMBIES),
    Mutant(done_before_the_commit, "a done mark before the commit"),
]
