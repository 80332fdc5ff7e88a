"""Guards, each around a scripted handler."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from gofleet.domain.errors import (
    AlreadyHandled,
    DeadlineExceeded,
    FleetBreakerOpen,
    FleetUnavailable,
    GoFleetError,
    Malformed,
    NoDriverNearby,
    OrderNotFound,
    Unavailable,
    UnknownEventType,
)
from gofleet.domain.events import to_json
from gofleet.domain.messages import ACK, ATTEMPT, CRASHES, EVENT_ID, UNKNOWN_TYPE, Delivery, Outcome, Receipt, Retry
from gofleet.domain.order import Order, Reason, Status
from gofleet.domain.parked import Cause
from gofleet.domain.principal import CLIENT
from gofleet.guards.idempotency import Idempotency
from gofleet.guards.manual_fallback import ManualFallback, WaitLimits
from gofleet.guards.parking import Parking, RetryRules
from gofleet.guards.retries import Backoff, Deadline, Outage
from gofleet.ports import Lease, LeaseState
from gofleet.testing.orders import MemoryOrders
from gofleet.testing.outbox import MemoryInbox
from gofleet.testing.parked import MemoryParked
from gofleet.usecases.dispatch_order import SendToManual
from tests.makers import an_order

RULES = RetryRules(max_attempts=3, tiers_seconds=(1, 5))


@dataclass
class Scripted:
    """Handler that returns or raises one entry of its script per call, the last one repeatedly."""

    script: Sequence[Outcome | Exception]
    calls: int = 0

    async def __call__(self, delivery: Delivery) -> Outcome:
        step = self.script[min(self.calls, len(self.script) - 1)]
        self.calls += 1
        if isinstance(step, Exception):
            raise step
        return step


def a_delivery(order: Order | None = None, attempt: int = 0, crashes: int = 0) -> Delivery:
    event = (order or an_order()).pending_events[0]
    headers = {EVENT_ID: str(event.event_id), ATTEMPT: str(attempt), CRASHES: str(crashes)}
    return Delivery("orders.created", to_json(event), headers)


@dataclass
class FakeLeases:
    """Leases that always answer `lease`; calls are recorded in `done`. A `changed` one cannot be taken over."""

    lease: Lease = field(default_factory=lambda: Lease(LeaseState.ACQUIRED))
    away: bool = False
    changed: bool = False
    done: list[str] = field(default_factory=list[str])

    async def acquire(self, key: str, token: str) -> Lease:
        if self.away:
            raise Unavailable("redis", "gone")
        return self.lease

    async def take_over(self, key: str, token: str, seen: Lease) -> bool:
        assert seen == self.lease
        self.done.append("take over")
        return not self.changed

    async def finish(self, key: str, token: str) -> None:
        self.done.append("finish")
        if self.away:
            raise Unavailable("redis", "gone")

    async def release(self, key: str, token: str) -> None:
        self.done.append("release")


class TestIdempotency:
    def once(self, handler: Scripted, leases: FakeLeases, orders: MemoryOrders | None = None) -> Idempotency:
        return Idempotency(handler, "dispatch", leases, MemoryInbox(orders or MemoryOrders()))

    async def test_a_handled_message_leaves_the_done_mark(self) -> None:
        leases = FakeLeases()

        assert await self.once(Scripted([ACK]), leases)(a_delivery()) == ACK
        assert leases.done == ["finish"]

    async def test_a_busy_lease_is_retried_not_acknowledged(self) -> None:
        handler = Scripted([ACK])
        leases = FakeLeases(Lease(LeaseState.BUSY, seconds_left=14.0))

        outcome = await self.once(handler, leases)(a_delivery())

        assert outcome == Retry(5.0)
        assert handler.calls == 0

    @pytest.mark.parametrize("crashes", [1, 2])
    async def test_a_redelivered_message_takes_over_the_lease_of_its_lost_consumer(self, crashes: int) -> None:
        handler, leases = Scripted([ACK]), FakeLeases(Lease(LeaseState.BUSY, 14.0, "p:dead"))

        assert await self.once(handler, leases)(a_delivery(crashes=crashes)) == ACK

        assert handler.calls == 1
        assert leases.done == ["take over", "finish"]

    async def test_a_lease_that_changed_meanwhile_is_retried(self) -> None:
        handler, leases = Scripted([ACK]), FakeLeases(Lease(LeaseState.BUSY, 1.0, "p:dead"), changed=True)

        assert await self.once(handler, leases)(a_delivery(crashes=1)) == Retry(1.1)
        assert handler.calls == 0

    async def test_a_message_that_lost_more_consumers_waits_for_the_lease(self) -> None:
        """Else one that kills its worker would kill all of them within seconds."""
        handler, leases = Scripted([ACK]), FakeLeases(Lease(LeaseState.BUSY, 14.0, "p:dead"))

        assert await self.once(handler, leases)(a_delivery(crashes=3)) == Retry(5.0)
        assert handler.calls == 0
        assert leases.done == []

    async def test_a_done_mark_with_an_inbox_row_is_acknowledged(self) -> None:
        orders, delivery = MemoryOrders(), a_delivery()
        orders.inbox[Receipt("dispatch", delivery.event_id)] = "dispatched"
        handler = Scripted([ACK])

        assert await self.once(handler, FakeLeases(Lease(LeaseState.DONE)), orders)(delivery) == ACK
        assert handler.calls == 0

    async def test_a_done_mark_without_an_inbox_row_is_taken_over(self) -> None:
        handler, leases = Scripted([ACK]), FakeLeases(Lease(LeaseState.DONE))

        await self.once(handler, leases)(a_delivery())

        assert handler.calls == 1
        assert leases.done == ["take over", "finish"]

    async def test_fails_closed_without_redis(self) -> None:
        handler = Scripted([ACK])

        with pytest.raises(Unavailable):
            await self.once(handler, FakeLeases(away=True))(a_delivery())

        assert handler.calls == 0

    @pytest.mark.parametrize("error", [FleetUnavailable("down"), NoDriverNearby("o-1", 5), RuntimeError("bug")])
    async def test_a_failed_attempt_releases_the_lease(self, error: Exception) -> None:
        leases = FakeLeases()

        with pytest.raises(type(error)):
            await self.once(Scripted([error]), leases)(a_delivery())

        assert leases.done == ["release"]

    async def test_a_cancelled_attempt_releases_the_lease(self) -> None:
        leases, started = FakeLeases(), asyncio.Event()

        async def hang(_: Delivery) -> Outcome:
            started.set()
            await asyncio.Event().wait()
            return ACK

        task = asyncio.create_task(Idempotency(hang, "dispatch", leases, MemoryInbox(MemoryOrders()))(a_delivery()))
        await started.wait()
        task.cancel()
        await asyncio.wait({task})

        assert task.cancelled()
        assert leases.done == ["release"]

    async def test_an_already_handled_event_is_acknowledged(self) -> None:
        leases = FakeLeases()

        outcome = await self.once(Scripted([AlreadyHandled("dispatch", "e")]), leases)(a_delivery())

        assert (outcome, leases.done) == (ACK, ["finish"])

    async def test_a_done_mark_that_cannot_be_written_is_harmless(self) -> None:
        @dataclass
        class Going(FakeLeases):
            async def acquire(self, key: str, token: str) -> Lease:
                return Lease(LeaseState.ACQUIRED)

        assert await self.once(Scripted([ACK]), Going(away=True))(a_delivery()) == ACK

    async def test_a_message_without_an_event_id_is_malformed(self) -> None:
        with pytest.raises(Malformed):
            await self.once(Scripted([ACK]), FakeLeases())(Delivery("orders.created", b"{}"))


class TestBackoff:
    async def test_a_transient_failure_is_retried_at_once(self) -> None:
        handler = Scripted([FleetUnavailable("blip"), ACK])

        assert await Backoff(handler)(a_delivery()) == ACK
        assert handler.calls == 2

    async def test_gives_up_after_the_last_attempt(self) -> None:
        handler = Scripted([FleetUnavailable("down")])

        with pytest.raises(FleetUnavailable):
            await Backoff(handler)(a_delivery())

        assert handler.calls == 3

    async def test_does_not_retry_after_its_total_time(self) -> None:
        handler = Scripted([FleetUnavailable("down")])

        with pytest.raises(FleetUnavailable):
            await Backoff(handler, total_seconds=0.0)(a_delivery())

        assert handler.calls == 1

    @pytest.mark.parametrize(
        "error", [FleetBreakerOpen(30), NoDriverNearby("o-1", 5), Malformed("x"), Unavailable("redis", "x"), KeyError()]
    )
    async def test_does_not_retry_other_failures(self, error: Exception) -> None:
        handler = Scripted([error])

        with pytest.raises(type(error)):
            await Backoff(handler)(a_delivery())

        assert handler.calls == 1


class TestDeadline:
    async def test_cancels_an_attempt_that_exceeds_the_deadline(self) -> None:
        async def hang(_: Delivery) -> Outcome:
            await asyncio.Event().wait()
            return ACK

        with pytest.raises(DeadlineExceeded):
            await Deadline(hang, 0.01)(a_delivery())

    async def test_passes_on_a_timeout_of_the_handler(self) -> None:
        with pytest.raises(TimeoutError):
            await Deadline(Scripted([TimeoutError()]), 10)(a_delivery())


class TestOutage:
    async def test_holds_the_message_until_the_outage_ends(self) -> None:
        handler = Scripted([Unavailable("redis", "gone"), Unavailable("redis", "gone"), ACK])

        assert await Outage(handler, asyncio.Event(), hold_seconds=5)(a_delivery()) == ACK

    async def test_retries_uncounted_after_the_hold(self) -> None:
        handler = Scripted([Unavailable("redis", "gone")])

        assert await Outage(handler, asyncio.Event(), hold_seconds=0.01)(a_delivery()) == Retry(5.0)

    async def test_does_not_wait_while_stopping(self) -> None:
        stopping = asyncio.Event()
        held = asyncio.create_task(Outage(Scripted([Unavailable("redis", "x")]), stopping, 3600)(a_delivery()))
        await asyncio.sleep(0)
        stopping.set()

        async with asyncio.timeout(2):
            assert await held == Retry(5.0)


class TestParking:
    @pytest.mark.parametrize("error", [Malformed("no event"), OrderNotFound("o-1")])
    async def test_parks_permanent_failures_at_once(self, error: GoFleetError) -> None:
        parked = MemoryParked()

        assert await Parking(Scripted([error]), parked, RULES)(a_delivery()) == ACK
        assert [(row.message.cause.value, row.message.detail) for row in parked.rows] == [(error.code, str(error))]

    async def test_retries_and_counts_unexpected_errors(self) -> None:
        parked = MemoryParked()
        guard = Parking(Scripted([RuntimeError("bug")]), parked, RULES)

        assert await guard(a_delivery(attempt=0)) == Retry(1, counted=True)
        assert await guard(a_delivery(attempt=1)) == Retry(5, counted=True)
        assert parked.rows == []

    async def test_acknowledges_an_event_of_a_later_release(self) -> None:
        parked = MemoryParked()

        assert (
            await Parking(Scripted([UnknownEventType("orders.exploded")]), parked, RULES)(a_delivery()) == UNKNOWN_TYPE
        )
        assert parked.rows == []

    async def test_parks_after_the_last_attempt(self) -> None:
        parked = MemoryParked()

        assert await Parking(Scripted([RuntimeError("bug")]), parked, RULES)(a_delivery(attempt=2)) == ACK
        assert [row.message.cause for row in parked.rows] == [Cause.FAILED]
        assert parked.rows[0].message.detail == "RuntimeError: bug"

    async def test_parks_a_message_that_lost_too_many_consumers_without_handling_it(self) -> None:
        parked, handler = MemoryParked(), Scripted([ACK, ACK])
        guard = Parking(handler, parked, replace(RULES, crashes_max=3))

        assert await guard(a_delivery(crashes=3)) == ACK
        assert (handler.calls, parked.rows) == (1, [])

        assert await guard(a_delivery(crashes=4)) == ACK
        assert handler.calls == 1
        assert [row.message.cause for row in parked.rows] == [Cause.CRASH_LOOP]

    async def test_passes_on_outages(self) -> None:
        parked = MemoryParked()

        with pytest.raises(Unavailable):
            await Parking(Scripted([Unavailable("redis", "x")]), parked, RULES)(a_delivery(attempt=5))

        assert parked.rows == []


class TestManualFallback:
    async def tried(
        self, error: Exception, *, patience: float = 4.0, t_max: float = 120.0, attempt: int = 0
    ) -> tuple[Outcome, Order]:
        orders, order = MemoryOrders(), an_order("o-1")
        delivery = a_delivery(order, attempt)
        await orders.add(order)
        manual = SendToManual(orders, MemoryInbox(orders))
        guard = ManualFallback(Scripted([error]), "dispatch", orders, manual, WaitLimits(patience, t_max), RULES)
        return await guard(delivery), await orders.get("o-1")

    async def test_without_a_driver_retries_uncounted(self) -> None:
        outcome, order = await self.tried(NoDriverNearby("o-1", 5), attempt=2)

        assert (outcome, order.status) == (Retry(1.0), Status.PENDING)

    async def test_without_a_driver_escalates_after_its_patience(self) -> None:
        outcome, order = await self.tried(NoDriverNearby("o-1", 5), patience=0)

        assert (outcome, order.status, order.reason) == (ACK, Status.MANUAL_DISPATCH, Reason.NO_DRIVER)

    async def test_retries_while_the_breaker_is_open(self) -> None:
        outcome, order = await self.tried(FleetBreakerOpen(30), attempt=2)

        assert (outcome, order.status) == (Retry(1.0), Status.PENDING)

    async def test_escalates_after_its_patience_with_an_open_breaker(self) -> None:
        _, order = await self.tried(FleetBreakerOpen(30), patience=0)

        assert (order.status, order.reason) == (Status.MANUAL_DISPATCH, Reason.FLEET_UNAVAILABLE)

    async def test_a_failing_fleet_counts_an_attempt(self) -> None:
        outcome, order = await self.tried(FleetUnavailable("down"), attempt=1)

        assert (outcome, order.status) == (Retry(5, counted=True), Status.PENDING)

    @pytest.mark.parametrize(("attempt", "t_max"), [(2, 120.0), (0, 0.0)])
    async def test_escalates_after_the_last_attempt_or_the_time_limit(self, attempt: int, t_max: float) -> None:
        outcome, order = await self.tried(FleetUnavailable("down"), attempt=attempt, t_max=t_max)

        assert (outcome, order.reason) == (ACK, Reason.FLEET_UNAVAILABLE)

    @pytest.mark.parametrize("error", [FleetUnavailable("down"), FleetBreakerOpen(30)])
    async def test_an_order_that_no_longer_waits_needs_no_fleet(self, error: FleetUnavailable) -> None:
        """The search came before any read of the order."""
        orders, order = MemoryOrders(), an_order("o-1")
        delivery, inbox = a_delivery(order), MemoryInbox(orders)
        await orders.add(order)
        order.cancel(by=CLIENT)
        await orders.save(order)
        manual = SendToManual(orders, inbox)
        guard = ManualFallback(Scripted([error]), "dispatch", orders, manual, WaitLimits(), RULES)

        assert await guard(delivery) == ACK
        assert (await orders.get("o-1")).status is Status.CANCELLED
        assert await inbox.outcome(Receipt("dispatch", delivery.event_id)) == "skipped:cancelled"

    async def test_acknowledges_a_handled_event_of_an_order_that_waits_again(self) -> None:
        orders, order = MemoryOrders(), an_order("o-1")
        delivery = a_delivery(order)
        await orders.add(order)
        orders.inbox[Receipt("dispatch", delivery.event_id)] = "dispatched"
        manual = SendToManual(orders, MemoryInbox(orders))
        guard = ManualFallback(Scripted([NoDriverNearby("o-1", 5)]), "dispatch", orders, manual, WaitLimits(0), RULES)

        assert await guard(delivery) == ACK
        assert (await orders.get("o-1")).status is Status.PENDING

    async def test_never_delays_a_retry_beyond_the_time_limit(self) -> None:
        outcome, _ = await self.tried(FleetUnavailable("down"), attempt=1, t_max=2.5)

        assert isinstance(outcome, Retry)
        assert outcome.seconds < 2.6

    async def test_escalates_a_failing_order_and_passes_on_the_error(self) -> None:
        orders, order = MemoryOrders(), an_order("o-1")
        delivery = a_delivery(order, attempt=2)
        await orders.add(order)
        manual = SendToManual(orders, MemoryInbox(orders))
        guard = ManualFallback(Scripted([RuntimeError("bug")]), "dispatch", orders, manual, WaitLimits(), RULES)

        with pytest.raises(RuntimeError):
            await guard(delivery)

        assert (await orders.get("o-1")).reason is Reason.DISPATCH_FAILED
