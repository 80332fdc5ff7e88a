"""Mutants of the real code, each without one guard, and the finding that a few storms must produce."""

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
class Target:
    """The process and the database that a mutant changes."""

    patch: pytest.MonkeyPatch
    conninfo: str

    def replace(self, queries: Queries, name: str, pattern: str, replacement: str = "") -> None:
        """Replace the single match of `pattern` in the statement."""
        mutated, count = re.subn(pattern, replacement, queries.statements[name], flags=re.S)
        assert count == 1, f"{name} has {count} matches"
        self.patch.setitem(queries.statements, name, cast("LiteralString", mutated))

    def drop(self, *objects: LiteralString) -> None:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            for each in objects:
                connection.execute(b"drop " + each.encode())


def save_without_version_check(target: Target) -> None:
    for name in ("save", "save_many"):
        target.replace(ORDERS, name, r" and orders.version = requested.stored_version")
        target.replace(ORDERS, name, r" and orders.version = accepted.stored_version")


def save_without_version_check_or_constraints(target: Target) -> None:
    save_without_version_check(target)
    target.drop(
        "index outbox_one_event_per_version", "index order_log_by_version", "trigger refuse_illegal_move on orders"
    )


def no_limit_of_live_orders_per_driver(target: Target) -> None:
    target.drop("index one_live_order_per_driver")


def busy_lease_is_acknowledged(target: Target) -> None:
    def ack(seconds: float) -> Outcome:
        return ACK

    target.patch.setattr(idempotency, "Retry", ack)


def ack_before_handling(target: Target) -> None:
    handle = Dispatcher._handle  # pyright: ignore[reportPrivateUsage]

    async def ack_and_handle(self: Dispatcher, message: IncomingMessage) -> None:
        await message.ack()
        await handle(self, message)

    target.patch.setattr(Dispatcher, "_handle", ack_and_handle)


def no_sweeper(target: Target) -> None:
    async def nothing(_: object) -> int:
        return 0

    target.patch.setattr(SweepOrders, "__call__", nothing)
    target.patch.setattr(RepublishPending, "__call__", nothing)


def claim_without_order_per_aggregate(target: Target) -> None:
    target.replace(OUTBOX, "claim", r"and seq = \(.*\)\n(?=order by)")


def no_receipt(target: Target) -> None:
    for name in ("save", "save_many"):
        target.replace(ORDERS, name, r"(?<=from free where consumer is not null)", " and false")
        target.replace(ORDERS, name, r"(?<=from free) where consumer is null or .*(?=\n\), updated)")


def published_without_confirmation(target: Target) -> None:
    settle = PostgresClaim.settle

    async def settle_all(self: PostgresClaim, answers: Sequence[GoFleetError | None]) -> None:
        await settle(self, [None] * len(answers))

    target.patch.setattr(PostgresClaim, "settle", settle_all)


def release_without_token_check(target: Target) -> None:
    release = RedisLeases.release

    async def release_any(self: RedisLeases, key: str, token: str) -> None:
        await self.take_over(key, token, await self.acquire(key, token))
        await release(self, key, token)

    target.patch.setattr(RedisLeases, "release", release_any)


def done_mark_before_the_commit(target: Target) -> None:
    handle = Idempotency._handle  # pyright: ignore[reportPrivateUsage]

    async def finish_and_handle(self: Idempotency, delivery: Delivery, key: str, token: str) -> Outcome:
        await self.leases.finish(key, token)
        return await handle(self, delivery, key, token)

    target.patch.setattr(Idempotency, "_handle", finish_and_handle)


@dataclass(frozen=True)
class Mutant:
    apply: Callable[[Target], None]
    finding: str
    weather: Weather = REPEATING


MUTANTS = [
    Mutant(save_without_version_check, "a lost race with an unexpected error"),
    Mutant(save_without_version_check_or_constraints, "not exactly one event for each version"),
    Mutant(save_without_version_check_or_constraints, "an illegal transition"),
    Mutant(no_limit_of_live_orders_per_driver, "a driver with two orders at once"),
    Mutant(busy_lease_is_acknowledged, "an order left pending"),
    Mutant(ack_before_handling, "an order left pending"),
    Mutant(no_sweeper, "an order left pending", LOSING),
    Mutant(claim_without_order_per_aggregate, "published out of order"),
    Mutant(no_receipt, "a dispatch without its receipt"),
    Mutant(published_without_confirmation, "marked as published, and the broker never had it"),
    Mutant(published_without_confirmation, "an order left pending"),
    Mutant(release_without_token_check, "a lease held by two", FULL_OF_ZOMBIES),
    Mutant(done_mark_before_the_commit, "a done mark before the commit"),
]
