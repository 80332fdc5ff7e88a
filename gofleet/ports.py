"""Everything GoFleet asks of the world, on one screen. Adapters satisfy these by shape, not by inheritance."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from gofleet.domain.driver import AreaQuery, Candidate, Driver, DriverFilter, Position, PositionBatchResult, Sighting
from gofleet.domain.errors import GoFleetError
from gofleet.domain.history import HistoryCursor, HistoryEntry, HistoryFilter, HistoryPage
from gofleet.domain.indicators import Indicator, RequestCounts
from gofleet.domain.messages import Delivery, Handler, Message, Receipt
from gofleet.domain.order import Order, Owner, Status
from gofleet.domain.parked import Cause, HandlingFailure, ParkedGroup, ParkedMessage, Stage
from gofleet.domain.place import Place


@dataclass(frozen=True)
class OrderFilter:
    """Which orders to list, newest first, of an `owner` or anybody; `before`: (created_at, id) of the last one seen."""

    status: Status | None = None
    driver_id: str | None = None
    created_after: datetime | None = None
    before: tuple[datetime, str] | None = None
    owner: Owner | None = None


@dataclass(frozen=True, order=True)
class Holding:
    """A driver holds an order since the event of that number (the order's version then)."""

    driver_id: str
    order_id: str
    sequence: int


class Orders(Protocol):
    """The orders we have accepted, and the news about them: both in one commit or neither."""

    async def add(self, order: Order) -> bool:
        """Keep a new order and its news, and fill in its times; False, changing nothing, if the id exists."""
        ...

    async def get(self, order_id: str) -> Order: ...  # OrderNotFound

    async def save(self, order: Order, receipt: Receipt | None = None) -> None:
        """Keep the moves made since `order` was read, their news and the receipt; change nothing when raising
        `StaleOrder` (somebody moved it meanwhile), `DriverBusy` or `AlreadyHandled`."""
        ...

    async def list(self, criteria: OrderFilter, limit: int) -> Sequence[Order]: ...
    async def count_open(self, customer_id: str, limit: int) -> int: ...  # not over yet, counted up to `limit`
    async def overdue(self, seconds: float, limit: int) -> Sequence[Order]: ...  # PENDING for longer, oldest first

    async def republish_pending(self, after_seconds: float, limit: int) -> Sequence[str]:
        """Put a `DispatchRequested` into the outbox for orders that are PENDING for `after_seconds` and have nothing
        unpublished there, again after twice, four times ... as long; the ids of up to `limit` of them, oldest first."""
        ...

    async def live(self, after: Holding | None, limit: int) -> Sequence[Holding]: ...  # DISPATCHED, by driver


class History(Protocol):
    """The moves of all orders, in an order that never changes: what was read up to a moment was all up to it."""

    async def of(self, order_id: str, limit: int) -> Sequence[HistoryEntry]: ...  # oldest first; OrderNotFound
    async def now(self) -> HistoryCursor: ...  # nothing that is seen before it comes behind it

    async def after(self, cursor: HistoryCursor, criteria: HistoryFilter, limit: int) -> HistoryPage:
        """Read on from `moment`, looking at up to `limit` entries. `UnknownCursor` for one that is yet to come."""
        ...


class Inbox(Protocol):
    """Which events each consumer has handled."""

    async def record(self, receipt: Receipt, outcome: str) -> None: ...  # keeps the first outcome
    async def outcome(self, receipt: Receipt) -> str | None: ...
    async def prune(self, days: float, limit: int) -> int: ...  # forget older ones; how many


class Claim(Protocol):
    """Outbox rows that nobody else can claim until the block that claimed them ends."""

    @property
    def messages(self) -> Sequence[Message]: ...
    async def settle(self, results: Sequence[GoFleetError | None]) -> None:
        """One answer for each message: None = confirmed; `MessageRefused` = counted, tried again later;
        any other = as if never tried."""
        ...


class Outbox(Protocol):
    """Events that are committed and not yet published."""

    def claiming(self, limit: int) -> AbstractAsyncContextManager[Claim]:
        """Claim the oldest unpublished event of up to `limit` orders, never a later one of the same order."""
        ...

    async def prune(self, days: float, limit: int) -> int:
        """Forget up to `limit` of the oldest events that were published so long ago, and no others; how many."""
        ...


@dataclass(frozen=True)
class FailedEvent:
    """An event that the broker refused too often; `held_back` later ones of its order wait behind it."""

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
    """Those events of the outbox that no relay tries any more, until people say so."""

    async def list(self, before: int | None, limit: int) -> Sequence[FailedEvent]: ...  # newest first; `before` an id
    async def count(self) -> int: ...
    async def retry(self, expected_count: int) -> None: ...  # all, as if never tried; CountMismatch changes nothing


class Publisher(Protocol):
    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        """Send all and wait for the broker's confirmations: None = it has the message for good,
        `MessageRefused` = it will not take it, `Unavailable` = not known; an event may then arrive twice."""
        ...

    async def put_back(self, deliveries: Sequence[Delivery]) -> list[GoFleetError | None]:
        """Put each into the queue that it came from and into no other; answers as `publish`. Bodies go byte for
        byte, with those of their headers that the broker can carry."""
        ...


class Consumer(Protocol):
    def consuming(
        self, queue: str, handler: Handler, *, concurrency: int, prefetch: int
    ) -> AbstractAsyncContextManager[None]:
        """Hand every message of `queue` to `handler` until the block ends, `concurrency` at once, holding at most
        `prefetch`; then finish what is in hand. A message is forgotten only after the handler said Done."""
        ...


@dataclass(frozen=True)
class ParkedFilter:
    """Which parked messages; without a `stage` all that are not back in their queue. `before` is the last id seen."""

    queue: str | None = None
    fingerprint: str | None = None
    cause: Cause | None = None
    stage: Stage | None = None
    before: int | None = None


class ReplayClaim(Protocol):
    """Parked messages to be put back that nobody else can claim until the block that claimed them ends."""

    @property
    def deliveries(self) -> Sequence[Delivery]: ...
    async def settle(self, results: Sequence[GoFleetError | None]) -> None:
        """One answer for each: None = it is back; `MessageRefused` = it waits for people again and shows why;
        any other = as if never tried."""
        ...


class Parked(Protocol):
    """Messages that were given up, kept for people."""

    async def add(self, delivery: Delivery, failure: HandlingFailure) -> None: ...
    async def count(self) -> int: ...  # of those that are not back in their queue
    async def list(self, criteria: ParkedFilter, limit: int) -> Sequence[ParkedMessage]: ...  # newest first
    async def groups(self, criteria: ParkedFilter, limit: int) -> Sequence[ParkedGroup]: ...  # largest first
    async def open(
        self, id: int, most_bytes: int
    ) -> tuple[ParkedMessage, Delivery]: ...  # ParkedMessageNotFound; body cut
    async def request(self, id: int) -> ParkedMessage:
        """Have it replayed, once however often that is asked for. `ParkedMessageNotFound`, `NotReplayable`."""
        ...

    async def request_all(self, criteria: ParkedFilter, expected_count: int) -> None:
        """Have all that match and wait replayed; `CountMismatch` or `NotReplayable` change nothing."""
        ...

    def claiming(self, limit: int) -> AbstractAsyncContextManager[ReplayClaim]:
        """Claim up to `limit` messages whose replay was requested, oldest request first."""
        ...

    async def prune(self, days: float, limit: int) -> int: ...  # forget replayed ones that are older; how many


class LeaseState(StrEnum):
    ACQUIRED = "acquired"
    BUSY = "busy"
    DONE = "done"


@dataclass(frozen=True)
class Lease:
    """What asking for a lease gave; `seconds_left` tells when a BUSY one ends at the latest."""

    state: LeaseState
    seconds_left: float = 0.0


class Leases(Protocol):
    """Who works on what right now. They only save work: losing them all at any moment harms nothing."""

    async def acquire(self, key: str, token: str) -> Lease: ...  # Unavailable; one's own lease is prolonged
    async def take_over(self, key: str, token: str) -> None: ...  # whatever stood there
    async def finish(self, key: str, token: str) -> None: ...  # ours -> done
    async def release(self, key: str, token: str) -> None: ...  # ours -> gone


@dataclass(frozen=True)
class Search:
    """A search for a driver who can take `order_id`, at most `radius_km` from `pickup` as the crow flies."""

    order_id: str
    pickup: Place
    radius_km: float
    limit: int = 5
    exclude: tuple[str, ...] = ()


class DriverSearch(Protocol):
    """The fleet service as a worker sees it."""

    async def search(self, search: Search) -> list[Candidate]:
        """Free drivers, nearest first, the first softly claimed for the order; empty = nobody near."""
        ...


class Fleet(DriverSearch, Protocol):
    """The fleet service as everybody else sees it. Every method may raise `FleetUnavailable`."""

    async def register(self, driver: Driver) -> None: ...
    async def update_position(self, position: Position) -> bool: ...  # False = older than what is known
    async def update_positions(self, positions: Sequence[Position]) -> PositionBatchResult: ...  # at most 1000
    async def nearest(self, place: Place, radius_km: float, limit: int) -> list[Sighting]: ...  # on duty, free or not
    async def within(self, area: AreaQuery) -> list[Sighting]: ...  # nearest to the middle first
    async def locate(self, driver_ids: Sequence[str]) -> list[Sighting]: ...  # at most 500; the unknown left out


class Positions(Protocol):
    """Where drivers are, which are free, and the soft claims on them; all of it may vanish and grow again."""

    async def claim_nearest(self, search: Search) -> list[Candidate]: ...  # as Fleet.search
    async def nearest(self, place: Place, radius_km: float, limit: int) -> list[Sighting]: ...  # these three as
    async def within(self, area: AreaQuery) -> list[Sighting]: ...  # Fleet's, and
    async def locate(self, driver_ids: Sequence[str]) -> list[Sighting]: ...  # nobody is claimed
    async def update_positions(self, positions: Sequence[Position]) -> list[bool]: ...
    async def register(self, driver: Driver) -> None: ...
    async def occupy(self, driver_id: str, order_id: str, sequence: int) -> None: ...
    async def free(self, driver_id: str, order_id: str, sequence: int) -> None: ...
    async def holdings(self) -> Sequence[Holding]: ...  # all that `occupy` said and `free` has not ended
    async def is_initialized(self) -> bool: ...  # False once all was forgotten, until `remember`
    async def mark_initialized(self) -> None: ...


class Drivers(Protocol):
    """The drivers' records; each comes with its version and the live order it holds."""

    async def put(self, driver: Driver) -> Driver: ...  # as stored
    async def change(self, driver: Driver, versions: frozenset[int] | None) -> Driver:
        """As `put`, for one that has a record at one of `versions` (None = any), or at another but with just that
        content, for that was done before; else `VersionMismatch`, and nothing is changed."""
        ...

    async def set_duty(self, driver_id: str, on_duty: bool) -> Driver: ...  # DriverNotFound
    async def get(self, driver_id: str) -> Driver: ...  # DriverNotFound
    async def list(self, criteria: DriverFilter, limit: int) -> Sequence[Driver]: ...
    async def get_many(self, driver_ids: Sequence[str]) -> Sequence[Driver]: ...  # version 0 = it has no record


class Indicators(Protocol):
    """How well the objectives were met of late."""

    async def count(self, process: str, number: int, counts: RequestCounts) -> None:
        """Keep what a process counted, once for each of its numbers, however often that is said."""
        ...

    async def read(self, window_seconds: float) -> Sequence[Indicator]: ...  # ingest, availability, dispatch, success


@dataclass(frozen=True)
class Depth:
    """What lies in one queue of a broker: messages that are `ready`, and `held` by consumers (None = not told)."""

    queue: str
    ready: int
    held: int | None = None
