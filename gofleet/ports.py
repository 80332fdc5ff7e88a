"""Ports: the interfaces that the core needs. Adapters implement them structurally (PEP 544), without inheritance."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from gofleet.domain.driver import (
    AreaQuery,
    Candidate,
    Driver,
    DriverFilter,
    DriversInArea,
    Position,
    PositionBatchResult,
    PositionOutcome,
    Sighting,
)
from gofleet.domain.errors import GoFleetError
from gofleet.domain.history import HistoryCursor, HistoryEntry, HistoryFilter, HistoryPage
from gofleet.domain.indicators import Indicator, RequestCounts
from gofleet.domain.messages import Delivery, Handler, Message, Receipt
from gofleet.domain.order import Order, OrderFilter, Owner
from gofleet.domain.parked import Cause, HandlingFailure, ParkedGroup, ParkedMessage, Stage
from gofleet.domain.place import Place
from gofleet.domain.principal import CLIENT, Actor


@dataclass(frozen=True, order=True)
class Holding:
    """Live order of a driver; `sequence` is the order's version at which the driver was assigned."""

    driver_id: str
    order_id: str
    sequence: int


class Orders(Protocol):
    """Store of orders; an order and its events are saved in one commit or not at all."""

    async def add(self, order: Order) -> bool:
        """Save a new order and its events, and fill in its times; False, changing nothing, if the id exists."""
        ...

    async def get(self, order_id: str, owner: Owner | None = None) -> Order:
        """The order with that id; `OrderNotFound`.

        With an `owner` only that owner's order, under its id or the customer's own one: an order of another owner is
        not found, with the same work.
        """
        ...

    async def save(self, order: Order, receipt: Receipt | None = None) -> None:
        """Save the transitions since `order` was read, their events, the receipt and the exclusion of its driver.

        `StaleOrder` (the order changed since it was read), `DriverBusy` (it holds another order, is not registered or,
        for workers, is excluded), `AlreadyHandled`: nothing is changed.
        """
        ...

    async def change(self, order: Order) -> None: ...  # save a change of its data and its event; StaleOrder
    async def list(self, criteria: OrderFilter, limit: int) -> Sequence[Order]: ...
    async def count_open(self, customer_id: str, limit: int) -> int: ...  # counted up to `limit`
    async def overdue(self, seconds: float, limit: int) -> Sequence[Order]: ...  # PENDING for longer, oldest first

    async def republish_pending(self, after_seconds: float, limit: int) -> Sequence[str]:
        """Add a `DispatchRequested` to the outbox for orders PENDING for `after_seconds` without an unpublished event.

        It is repeated with exponential backoff (2, 4, ... times as long). Returns up to `limit` order ids, oldest
        first.
        """
        ...

    async def live(self, after: Holding | None, limit: int) -> Sequence[Holding]: ...  # DISPATCHED, by driver
    async def excluded_drivers(self, order_id: str, limit: int) -> Sequence[str]: ...  # from workers, latest first
    async def prune_exclusions(self, days: float, limit: int) -> int: ...  # deletes those ended earlier; their number


class History(Protocol):
    """Transitions of all orders in one immutable total order: a page is complete up to its cursor."""

    async def of(self, order_id: str, limit: int) -> Sequence[HistoryEntry]: ...  # oldest first; OrderNotFound
    async def now(self) -> HistoryCursor: ...  # later than every entry committed before

    async def after(self, cursor: HistoryCursor, criteria: HistoryFilter, limit: int) -> HistoryPage:
        """Matching entries among the next `limit` after `cursor`; `UnknownCursor` for a cursor beyond the newest."""
        ...


class Inbox(Protocol):
    """Inbox: the events that each consumer has handled."""

    async def record(self, receipt: Receipt, outcome: str) -> None: ...  # keeps the first outcome
    async def outcome(self, receipt: Receipt) -> str | None: ...
    async def prune(self, days: float, limit: int) -> int: ...  # deletes older rows; their number


class Claim(Protocol):
    """Outbox rows that are claimed exclusively until the claiming block ends."""

    @property
    def messages(self) -> Sequence[Message]: ...
    async def settle(self, results: Sequence[GoFleetError | None]) -> bool:
        """Record one result for each message: None = published; `MessageRefused` = counted attempt, retried later;
        any other error = not counted, retried. Whether later events wait behind published ones of their orders."""
        ...


class Outbox(Protocol):
    """Outbox: committed events that are not yet published."""

    def claiming(self, limit: int) -> AbstractAsyncContextManager[Claim]:
        """Claim the oldest unpublished event of up to `limit` orders, never a later one of the same order."""
        ...

    async def prune(self, days: float, limit: int) -> int:
        """Delete up to `limit` of the oldest events published more than `days` ago; their number."""
        ...


@dataclass(frozen=True)
class FailedEvent:
    """Event that the broker refused too often; it holds back `held_back` later events of its order."""

    id: int
    event_id: str
    type: str
    order_id: str
    sequence: int
    attempts: int
    error: str | None
    created_at: datetime
    failed_at: datetime
    held_back: int


class FailedEvents(Protocol):
    """Events of the outbox that are no longer retried until an operator requests it."""

    async def list(self, before: int | None, limit: int) -> Sequence[FailedEvent]: ...  # newest first; `before` an id
    async def count(self) -> int: ...
    async def retry(self, expected_count: int) -> None: ...  # all, with attempts reset; CountMismatch changes nothing


class Publisher(Protocol):
    """Publisher of events to the broker, with confirmations."""

    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        """Publish all messages and wait for the broker's confirmations.

        One result for each message: None = stored by the broker, `MessageRefused` = refused, `Unavailable` = unknown;
        the message may then be delivered twice.
        """
        ...

    async def put_back(self, deliveries: Sequence[Delivery]) -> list[GoFleetError | None]:
        """Return each message to its own queue only; results as of `publish`.

        Bodies are unchanged byte for byte; headers that the broker cannot carry are dropped.
        """
        ...


class Consumer(Protocol):
    """Consumer of the broker's queues."""

    def consuming(
        self, queue: str, handler: Handler, *, concurrency: int, prefetch: int
    ) -> AbstractAsyncContextManager[None]:
        """Pass every message of `queue` to `handler` until the block ends, then finish those in flight.

        At most `concurrency` handlers run at once, at most `prefetch` messages are unacknowledged. A message is
        acknowledged only after the handler returned `Ack`.
        """
        ...


@dataclass(frozen=True)
class ParkedFilter:
    """Filter for parked messages; without a `stage`, all that are not replayed. `before` is the last id of a page."""

    queue: str | None = None
    fingerprint: str | None = None
    cause: Cause | None = None
    stage: Stage | None = None
    before: int | None = None


class ReplayClaim(Protocol):
    """Parked messages to be replayed, claimed exclusively until the claiming block ends."""

    @property
    def deliveries(self) -> Sequence[Delivery]: ...
    async def settle(self, results: Sequence[GoFleetError | None]) -> None:
        """Record one result for each: None = replayed; `MessageRefused` = waits for an operator again, with the reason;
        any other error = retried."""
        ...


class Parked(Protocol):
    """Dead-letter storage of parked messages."""

    async def add(self, delivery: Delivery, failure: HandlingFailure) -> None: ...
    async def count(self) -> int: ...  # messages that are not replayed
    async def list(self, criteria: ParkedFilter, limit: int) -> Sequence[ParkedMessage]: ...  # newest first
    async def groups(self, criteria: ParkedFilter, limit: int) -> Sequence[ParkedGroup]: ...  # largest first
    async def open(
        self, id: int, most_bytes: int
    ) -> tuple[ParkedMessage, Delivery]: ...  # ParkedMessageNotFound; body cut
    async def request(self, id: int) -> ParkedMessage:
        """Request its replay; repeated requests have no effect. `ParkedMessageNotFound`, `NotReplayable`."""
        ...

    async def request_all(self, criteria: ParkedFilter, expected_count: int) -> None:
        """Request the replay of all waiting messages that match; `CountMismatch`, `NotReplayable` change nothing."""
        ...

    def claiming(self, limit: int) -> AbstractAsyncContextManager[ReplayClaim]:
        """Claim up to `limit` messages whose replay was requested, oldest request first."""
        ...

    async def prune(self, days: float, limit: int) -> int: ...  # deletes older replayed ones; their number


class LeaseState(StrEnum):
    """State of a lease: acquired by the caller, held by another worker, or marked as done."""

    ACQUIRED = "acquired"
    BUSY = "busy"
    DONE = "done"


@dataclass(frozen=True)
class Lease:
    """Result of acquiring a lease: the remaining time of a BUSY one, and what is stored there now."""

    state: LeaseState
    seconds_left: float = 0.0
    value: str = ""


class Leases(Protocol):
    """Leases on events being handled. They only save work: losing all of them at any time is harmless."""

    async def acquire(self, key: str, token: str) -> Lease: ...  # Unavailable; extends a lease of the same token
    async def take_over(self, key: str, token: str, seen: Lease) -> bool:
        """Replace a lease or mark; False, changing nothing, if it is no longer the one that was `seen`."""
        ...

    async def finish(self, key: str, token: str) -> None: ...  # own lease -> done mark
    async def release(self, key: str, token: str) -> None: ...  # deletes the own lease


@dataclass(frozen=True)
class Search:
    """Search for a driver for `order_id`, at most `radius_km` from `pickup` (great circle)."""

    order_id: str
    pickup: Place
    radius_km: float
    limit: int = 5
    exclude: tuple[str, ...] = ()


class DriverSearch(Protocol):
    """Driver search of the fleet service: all that a worker needs of it."""

    async def search(self, search: Search) -> list[Candidate]:
        """Free drivers, nearest first; the first is softly claimed for the order. `FleetUnavailable`."""
        ...


class Fleet(DriverSearch, Protocol):
    """Fleet service as the API and the simulation see it. Every method may raise `FleetUnavailable`."""

    async def register(self, driver: Driver) -> None: ...  # whose record was stored
    async def update_position(self, position: Position) -> bool: ...  # False = older; DriverNotFound: unregistered
    async def update_own_position(self, position: Position, max_kmh: float) -> bool: ...  # and as Positions'
    async def update_positions(self, positions: Sequence[Position]) -> PositionBatchResult: ...  # at most 1000
    async def nearest(self, place: Place, radius_km: float, limit: int) -> list[Sighting]: ...  # on duty, free or not
    async def within(self, area: AreaQuery) -> DriversInArea: ...
    async def locate(self, driver_ids: Sequence[str]) -> list[Sighting]: ...  # at most 500 ids; omits unknown ones


class Positions(Protocol):
    """Positions and availability of drivers with soft claims; all of it may be lost and is then rebuilt. A driver is
    registered by a version of its record; without one it is neither found nor seen."""

    async def claim_nearest(self, search: Search) -> list[Candidate]: ...  # as Fleet.search
    async def nearest(self, place: Place, radius_km: float, limit: int) -> list[Sighting]: ...  # this and the next
    async def within(self, area: AreaQuery) -> DriversInArea: ...  # two as Fleet's;
    async def locate(self, driver_ids: Sequence[str]) -> list[Sighting]: ...  # they claim nothing
    async def update_positions(self, positions: Sequence[Position]) -> list[PositionOutcome]: ...
    async def update_own_position(self, position: Position, max_kmh: float) -> PositionOutcome:
        """A position that the driver sends itself: charged to its `TravelBudget`, or `PositionTooFar` and no change."""
        ...

    async def register(self, driver: Driver, seen: int | None = None) -> None: ...  # no version below one not `seen`
    async def unregister(self, driver_id: str, seen: int | None) -> None: ...  # if its version is still `seen`
    def registrations(self, limit: int) -> AsyncIterator[Mapping[str, int | None]]: ...  # id -> version, in pages
    async def occupy(self, driver_id: str, order_id: str, sequence: int) -> None: ...
    async def free(self, driver_id: str, order_id: str, sequence: int) -> None: ...
    async def holdings(self) -> Sequence[Holding]: ...  # occupied and not freed


class Drivers(Protocol):
    """Store of driver records, each with its version and live order. A driver with a record is registered."""

    async def put(self, driver: Driver, staff: Actor = CLIENT) -> Driver:
        """Add the record or replace it; as stored. A driver on duty that it sets off duty is off duty by `staff`."""
        ...

    async def change(self, driver: Driver, versions: frozenset[int] | None, staff: Actor = CLIENT) -> Driver:
        """As `put`, if the version is one of `versions` (None = any) or the content is already equal.

        `VersionMismatch`: nothing is changed.
        """
        ...

    async def set_duty(self, driver_id: str, on_duty: bool, staff: Actor | None = CLIENT) -> Driver:
        """As `Driver.with_duty`, in one step. `DriverNotFound`, `OffDutyByStaff`."""
        ...

    async def get(self, driver_id: str) -> Driver: ...  # DriverNotFound
    async def list(self, criteria: DriverFilter, limit: int) -> Sequence[Driver]: ...
    async def get_many(self, driver_ids: Sequence[str]) -> Sequence[Driver]: ...  # unregistered ones are left out
    async def find(self, driver_id: str, /) -> Driver | None: ...  # concurrent calls share a statement


class Indicators(Protocol):
    """Service level indicators over a recent window."""

    async def count(self, process: str, number: int, counts: RequestCounts) -> None:
        """Add the counts of a process; repeated calls with the same `number` add them once."""
        ...

    async def read(self, window_seconds: float) -> Sequence[Indicator]: ...  # ingest, availability, dispatch, success


@dataclass(frozen=True)
class Depth:
    """Depth of one queue: `ready` messages, and those `held` by consumers (None = unknown)."""

    queue: str
    ready: int
    held: int | None = None
