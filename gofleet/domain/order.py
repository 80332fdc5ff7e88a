"""Orders and their legal transitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

from gofleet.domain import events, order_data
from gofleet.domain.errors import InvalidTransition, OrderEnded
from gofleet.domain.order_data import Item
from gofleet.domain.order_ids import customer_order_id
from gofleet.domain.place import Place
from gofleet.domain.principal import Actor
from gofleet.domain.values import identifier, money, new_text_id, positive_money, total


class Status(StrEnum):
    """PENDING: waits for a driver. MANUAL_DISPATCH: waits for a dispatcher. DISPATCHED: assigned to a driver. The other
    two are final."""

    PENDING = "PENDING"
    DISPATCHED = "DISPATCHED"
    MANUAL_DISPATCH = "MANUAL_DISPATCH"
    DELIVERED = "DELIVERED"
    CANCELLED = "CANCELLED"


class Reason(StrEnum):
    """Why an order was escalated to manual dispatch."""

    NO_PICKUP = "no_pickup"
    NO_DRIVER = "no_driver"
    FLEET_UNAVAILABLE = "fleet_unavailable"
    DISPATCH_FAILED = "dispatch_failed"
    DEADLINE = "deadline"


# Repeated by the CHECKs in sql/migrations and the diagram in the README; tests/test_architecture.py compares all three.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.DISPATCHED, Status.MANUAL_DISPATCH, Status.CANCELLED}),
    Status.MANUAL_DISPATCH: frozenset({Status.DISPATCHED, Status.CANCELLED, Status.PENDING}),
    Status.DISPATCHED: frozenset({Status.DELIVERED, Status.CANCELLED, Status.PENDING}),
    Status.DELIVERED: frozenset(),
    Status.CANCELLED: frozenset(),
}


@dataclass(frozen=True)
class Owner:
    """Owner of orders: the customer that created them, or the driver assigned to them, now or when they ended."""

    customer_id: str | None = None
    driver_id: str | None = None


@dataclass(kw_only=True)
class Order:
    """One delivery. Times are the database's; `as_of` is its clock at the time of reading. `id` is the same for
    all callers; `client_order_id` is the customer's own id, if the customer named the order.

    Every transition changes the status, increments `version`, appends one event to `pending_events` and records its
    `actor`; the store saves all of that in one commit.

    A change of its data increments the version in the same way. `changed_at` is the time of the last one; `created_as`
    has the values, by name, that the creation gave to the fields that were changed since.

    `exclusion_seconds` is how long the last transition excludes the driver that it took the order from; 0 = not at all.
    """

    id: str
    price: Decimal
    tax: Decimal
    final_price: Decimal
    pickup: Place | None = None
    dropoff: Place | None = None
    customer_id: str | None = None
    client_order_id: str | None = None
    reference: str | None = None
    items: tuple[Item, ...] | None = None
    metadata: Mapping[str, str] | None = None
    status: Status = Status.PENDING
    driver_id: str | None = None
    reason: Reason | None = None
    version: int = 1
    created_at: datetime | None = None
    pending_since: datetime | None = None
    dispatched_at: datetime | None = None
    delivered_at: datetime | None = None
    cancelled_at: datetime | None = None
    as_of: datetime | None = None
    changed_at: datetime | None = None
    created_as: Mapping[str, Any] | None = None
    exclusion_seconds: float = field(default=0.0, compare=False)
    actor: Actor | None = field(default=None, compare=False)
    pending_events: list[events.OrderEvent] = field(default_factory=list[events.OrderEvent], compare=False, repr=False)

    @classmethod
    def create(
        cls,
        id: str | None,
        price: Decimal,
        tax: Decimal,
        *,
        by: Actor,
        pickup: Place | None = None,
        dropoff: Place | None = None,
        customer_id: str | None = None,
        client_order_id: str | None = None,
        reference: str | None = None,
        items: Sequence[Item] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Order:
        """A new PENDING order; `Invalid` for an invalid value. Without an id it gets a UUIDv7."""
        if client_order_id is not None:
            identifier("id", client_order_id)
        id = new_text_id() if id is None else identifier("id", id)
        price, tax = positive_money("price", price), money("tax", tax)
        order = cls(
            id=id,
            price=price,
            tax=tax,
            final_price=total(price, tax),
            pickup=pickup and pickup.checked("pickup"),
            dropoff=dropoff and dropoff.checked("dropoff"),
            customer_id=None if customer_id is None else identifier("customer_id", customer_id),
            client_order_id=client_order_id,
            **order_data.checked({"reference": reference, "items": items, "metadata": metadata}),
            actor=by,
        )
        order.pending_events.append(
            events.OrderCreated(
                order_id=id,
                sequence=1,
                price=price,
                tax=tax,
                final_price=order.final_price,
                pickup=_coordinates(pickup),
                dropoff=_coordinates(dropoff),
                customer_id=customer_id,
                client_order_id=client_order_id,
                reference=order.reference or msgspec.UNSET,
                metadata=order.metadata or msgspec.UNSET,
            )
        )
        return order

    @classmethod
    def announced(cls, event: events.OrderCreated) -> Order:
        """The order as it was at its creation, without its times and its items."""
        return cls(
            id=event.order_id,
            price=event.price,
            tax=event.tax,
            final_price=event.final_price,
            pickup=_place(event.pickup),
            dropoff=_place(event.dropoff),
            customer_id=event.customer_id,
            client_order_id=event.client_order_id,
            reference=event.reference or None,
            metadata=event.metadata or None,
        )

    @property
    def stored_version(self) -> int:
        """The version at the time of reading: every transition since then has one event in `pending_events`."""
        return self.version - len(self.pending_events)

    def is_of(self, owner: Owner | None) -> bool:
        """Whether the order belongs to `owner`; always true for None."""
        return owner is None or owns(owner, self.customer_id, self.driver_id)

    @property
    def is_open(self) -> bool:
        """Whether the order has legal transitions left."""
        return bool(TRANSITIONS[self.status])

    @property
    def may_have_exclusions(self) -> bool:
        """Whether a redispatch may have taken it from a driver; the first to do so makes version 3."""
        return self.version >= 3

    def same_request(self, other: Order) -> bool:
        """Whether both orders, found under the same name, were created by the same request, regardless of later
        transitions."""
        names = {"id": None, "client_order_id": None}  # an order may be named by its global id and by the customer's
        return self.as_created.creation_fields() | names == other.as_created.creation_fields() | names

    @property
    def as_created(self) -> Order:
        """The order with the data of its creation."""
        return replace(self, **self.created_as) if self.created_as else self

    def creation_fields(self) -> dict[str, object]:
        """The fields that the request determines, by name; only changes of data change some of them."""
        return {
            "id": self.id,
            "price": self.price,
            "tax": self.tax,
            "final_price": self.final_price,
            "pickup": self.pickup,
            "dropoff": self.dropoff,
            "customer_id": self.customer_id,
            "client_order_id": self.client_order_id,
            "reference": self.reference,
            "items": self.items,
            "metadata": self.metadata,
        }

    @property
    def waiting_since(self) -> datetime | None:
        """When the order began to wait for a driver; None for an order that has one, or is final."""
        return self.pending_since if self.status in (Status.PENDING, Status.MANUAL_DISPATCH) else None

    def waited_seconds(self) -> float:
        """How long the order had been PENDING at the time of reading, by the database's clock."""
        if self.as_of is None or self.pending_since is None:
            return 0.0
        return (self.as_of - self.pending_since).total_seconds()

    def dispatch(self, driver_id: str, *, by: Actor) -> None:
        self._transition_to(Status.DISPATCHED, by)
        self.driver_id = driver_id
        self.reason = None
        self.pending_events.append(events.OrderDispatched(order_id=self.id, sequence=self.version, driver_id=driver_id))

    def send_to_manual(self, reason: Reason, *, by: Actor) -> None:
        self._transition_to(Status.MANUAL_DISPATCH, by)
        self.reason = reason
        self.pending_events.append(events.OrderSentToManual(order_id=self.id, sequence=self.version, reason=reason))

    def deliver(self, *, by: Actor) -> None:
        self._transition_to(Status.DELIVERED, by)
        assert self.driver_id is not None  # noqa: S101  only a DISPATCHED order gets here, and it has a driver
        self.pending_events.append(
            events.OrderDelivered(order_id=self.id, sequence=self.version, driver_id=self.driver_id)
        )

    def cancel(self, *, by: Actor) -> None:
        self._transition_to(Status.CANCELLED, by)
        self.pending_events.append(
            events.OrderCancelled(order_id=self.id, sequence=self.version, driver_id=self.driver_id)
        )

    def redispatch(self, *, by: Actor, exclusion_seconds: float = 0.0) -> None:
        """Return the order to automatic dispatch; its driver, if any, is unassigned and excluded for that time."""
        self._transition_to(Status.PENDING, by)
        self.exclusion_seconds = exclusion_seconds
        previous_driver_id, self.driver_id, self.reason = self.driver_id, None, None
        self.pending_events.append(
            events.OrderRedispatched(order_id=self.id, sequence=self.version, driver_id=previous_driver_id)
        )

    def change(self, wanted: Mapping[str, Any], *, by: Actor) -> None:
        """Give data other values, `metadata` by a merge patch; `Invalid`, `OrderEnded`. No change is no version."""
        if not (changed := self.changes(wanted)):
            return
        if not self.is_open:
            raise OrderEnded(self.id, self.status)
        self.created_as = {**{name: getattr(self, name) for name in changed}, **(self.created_as or {})}
        for name, value in changed.items():
            setattr(self, name, value)
        self.version += 1
        self.actor = by
        self.pending_events.append(
            events.OrderUpdated(
                order_id=self.id,
                sequence=self.version,
                changed=sorted(changed),
                reference=self.reference or msgspec.UNSET,
                metadata=self.metadata or msgspec.UNSET,
            )
        )

    def changes(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the wanted values that it does not have; `Invalid`."""
        wanted = dict(wanted)
        if "metadata" in wanted:
            wanted["metadata"] = order_data.merged(self.metadata, wanted["metadata"])
        checked = order_data.checked(wanted)
        return {name: value for name, value in checked.items() if getattr(self, name) != value}

    def _transition_to(self, wanted: Status, by: Actor) -> None:
        if wanted not in TRANSITIONS[self.status]:
            raise InvalidTransition(self.id, self.status, wanted)
        self.status = wanted
        self.version += 1
        self.actor = by
        self.exclusion_seconds = 0.0


@dataclass(frozen=True)
class OrderFilter:
    """Filter for listing orders, newest first; None does not filter. `before` is (created_at, id) of the last order of
    the previous page. The SQL of `orders.list` repeats `matches`."""

    status: Status | None = None
    driver_id: str | None = None
    reference: str | None = None
    created_after: datetime | None = None
    before: tuple[datetime, str] | None = None
    owner: Owner | None = None

    def matches(self, order: Order) -> bool:
        assert order.created_at is not None  # noqa: S101  stored orders have it
        return (
            self.status in {None, order.status}
            and self.driver_id in {None, order.driver_id}
            and self.reference in {None, order.reference}
            and (self.created_after is None or order.created_at > self.created_after)
            and (self.before is None or (order.created_at, order.id) < self.before)
            and order.is_of(self.owner)
        )


def _place(at: events.Coordinates | None) -> Place | None:
    return None if at is None else Place(at.lat, at.lng)


def _coordinates(place: Place | None) -> events.Coordinates | None:
    return None if place is None else events.Coordinates(lat=place.lat, lng=place.lng)


def order_ids(name: str, owner: Owner | None) -> tuple[str, ...]:
    """The global ids that `name` may stand for in a request of `owner`, in the order of precedence: itself, and as the
    customer's own id."""
    if owner is None or owner.customer_id is None:
        return (name,)
    return (name, customer_order_id(owner.customer_id, name))


def owns(owner: Owner, customer_id: str | None, *driver_ids: str | None) -> bool:
    """Whether an order of the customer, with one of the drivers, belongs to `owner`."""
    return (owner.customer_id is not None and owner.customer_id == customer_id) or (
        owner.driver_id is not None and owner.driver_id in driver_ids
    )
