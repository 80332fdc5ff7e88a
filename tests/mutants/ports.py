"""Ports with faults before and after each call; the leases are also checked while the storm runs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from gofleet.domain.driver import Candidate, Driver, Position
from gofleet.domain.errors import FleetUnavailable, GoFleetError
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order, OrderFilter, Owner
from gofleet.domain.place import Place
from gofleet.ports import Holding, Inbox, Lease, Leases, LeaseState, Orders, Search
from tests.mutants.dice import Dice


@dataclass
class Witness:
    """Violations observed during the storm that leave no trace in the database."""

    findings: set[str] = field(default_factory=set[str])

    def record(self, finding: str, subject: str) -> None:
        self.findings.add(f"{finding}: {subject}")


@dataclass(frozen=True)
class FaultyOrders:
    orders: Orders
    dice: Dice
    witness: Witness

    async def add(self, order: Order) -> bool:
        return await self.orders.add(order)

    async def get(self, order_id: str, owner: Owner | None = None) -> Order:
        await self.dice.step()
        order = await self.orders.get(order_id, owner)
        await self.dice.step()
        return order

    async def save(self, order: Order, receipt: Receipt | None = None) -> None:
        await self.dice.step()
        try:
            await self.orders.save(order, receipt)
        except GoFleetError:
            raise  # the expected result of a lost race
        except Exception as error:
            self.witness.record("a lost race with an unexpected error", f"{order.id} {type(error).__name__}")
            raise
        await self.dice.step()

    async def change(self, order: Order) -> None:
        await self.dice.step()
        await self.orders.change(order)
        await self.dice.step()

    async def list(self, criteria: OrderFilter, limit: int) -> Sequence[Order]:
        return await self.orders.list(criteria, limit)

    async def count_open(self, customer_id: str, limit: int) -> int:
        return await self.orders.count_open(customer_id, limit)

    async def overdue(self, seconds: float, limit: int) -> Sequence[Order]:
        return await self.orders.overdue(seconds, limit)

    async def republish_pending(self, after_seconds: float, limit: int) -> Sequence[str]:
        return await self.orders.republish_pending(after_seconds, limit)

    async def live(self, after: Holding | None, limit: int) -> Sequence[Holding]:
        return await self.orders.live(after, limit)

    async def excluded_drivers(self, order_id: str, limit: int) -> Sequence[str]:
        return await self.orders.excluded_drivers(order_id, limit)

    async def prune_exclusions(self, days: float, limit: int) -> int:
        return await self.orders.prune_exclusions(days, limit)


@dataclass(frozen=True)
class FaultyInbox:
    inbox: Inbox
    dice: Dice

    async def record(self, receipt: Receipt, outcome: str) -> None:
        await self.dice.step()
        await self.inbox.record(receipt, outcome)
        await self.dice.step()

    async def outcome(self, receipt: Receipt) -> str | None:
        await self.dice.step()
        return await self.inbox.outcome(receipt)

    async def prune(self, days: float, limit: int) -> int:
        return await self.inbox.prune(days, limit)


@dataclass
class CheckedLeases:
    """Faulty leases, checked for their contract: one holder at a time, and a done mark only for a recorded receipt."""

    leases: Leases
    inbox: Inbox
    lease_seconds: float
    dice: Dice
    witness: Witness
    _held: dict[str, tuple[str, float]] = field(default_factory=dict[str, tuple[str, float]])

    async def acquire(self, key: str, token: str) -> Lease:
        await self.dice.step()
        before = time.monotonic()
        lease = await self.leases.acquire(key, token)
        if lease.state is LeaseState.ACQUIRED:
            holder, until = self._held.get(key, (token, 0.0))
            now = time.monotonic()
            if holder != token and before < now < min(until, before + self.lease_seconds):
                self.witness.record("a lease held by two", key)
            self._held[key] = (token, before + self.lease_seconds)
        await self.dice.step()
        return lease

    async def take_over(self, key: str, token: str, seen: Lease) -> bool:
        await self.dice.step()
        taken = await self.leases.take_over(key, token, seen)
        if taken:
            self._held[key] = (token, time.monotonic() + self.lease_seconds)
        return taken

    async def finish(self, key: str, token: str) -> None:
        await self.dice.step()
        if await self.inbox.outcome(Receipt(*key.split(":", 1))) is None:
            self.witness.record("a done mark before the commit", key)
        await self._end(key, token, self.leases.finish)

    async def release(self, key: str, token: str) -> None:
        await self.dice.step()
        await self._end(key, token, self.leases.release)
        holder, until = self._held.get(key, (token, 0.0))
        if holder == token or until < time.monotonic():
            return
        if (await self.leases.acquire(key, "witness")).state is LeaseState.ACQUIRED:  # it must not be
            await self.leases.release(key, "witness")
            if self._held.get(key) == (holder, until) and until > time.monotonic():
                self.witness.record("a lease held by two", key)

    async def _end(self, key: str, token: str, end: Callable[[str, str], Awaitable[None]]) -> None:
        if self._held.get(key, ("", 0.0))[0] == token:
            del self._held[key]
        await end(key, token)


@dataclass(frozen=True)
class AllFreeFleet:
    """A fleet whose index has lost all assignments: every driver is free. Only the database knows the busy ones."""

    drivers: Sequence[str]
    dice: Dice
    fails: float = 0.05

    async def search(self, search: Search) -> list[Candidate]:
        await self.dice.step()
        if self.dice.happens(self.fails):
            raise FleetUnavailable("a simulated outage")
        free = [driver for driver in self.drivers if driver not in search.exclude]
        self.dice.random.shuffle(free)
        await self.dice.step()
        return [Candidate(driver, driver, Place(1, 1), 100) for driver in free[: search.limit]]

    async def register(self, driver: Driver) -> None: ...
    async def update_position(self, position: Position) -> bool:
        return True
