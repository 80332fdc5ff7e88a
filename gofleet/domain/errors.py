"""What can go wrong in the business, named by the fact. Each has a stable `code` that every edge translates."""

from __future__ import annotations


class GoFleetError(Exception):
    """The root of our own errors; `code` is a slug that clients may rely on."""

    code = "error"


class Invalid(GoFleetError):
    """A value that the domain refuses. `field` names it as the caller wrote it, such as `price` or `pickup.lat`."""

    code = "invalid"

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field} {why}")
        self.field = field
        self.why = why


class InvalidTransition(GoFleetError):
    """The order's present status does not allow the wanted one."""

    code = "invalid-transition"

    def __init__(self, order_id: str, status: str, wanted: str) -> None:
        super().__init__(f"order {order_id} is {status}, it cannot become {wanted}")
        self.order_id = order_id
        self.status = status
        self.wanted = wanted


class OrderNotFound(GoFleetError):
    code = "no-such-order"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"there is no order {order_id}")
        self.order_id = order_id


class OrderIdConflict(GoFleetError):
    """The id belongs to an order with other content."""

    code = "order-taken"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"order {order_id} exists already with other content")
        self.order_id = order_id


class StaleOrder(GoFleetError):
    """Somebody moved the order between our reading and our writing; read it again."""

    code = "stale-order"

    def __init__(self, order_id: str, version: int) -> None:
        super().__init__(f"order {order_id} is no longer at version {version}")
        self.order_id = order_id
        self.version = version


class VersionMismatch(GoFleetError):
    """The caller means another version of `what` than the present one, which is None if it does not exist."""

    code = "version-mismatch"

    def __init__(self, what: str, version: int | None) -> None:
        super().__init__(f"{what} is at version {version} by now" if version else f"{what} does not exist")
        self.what = what
        self.version = version


class UnknownCursor(GoFleetError):
    """A place in a history that is not this one: it was given by another database, or by one that lost some since."""

    code = "unknown-moment"

    def __init__(self) -> None:
        super().__init__("the history has not come so far")


class DriverBusy(GoFleetError):
    """The driver already holds a live order."""

    code = "driver-busy"

    def __init__(self, driver_id: str) -> None:
        super().__init__(f"driver {driver_id} already holds a live order")
        self.driver_id = driver_id


class DriverNotFound(GoFleetError):
    code = "no-such-driver"

    def __init__(self, driver_id: str) -> None:
        super().__init__(f"there is no driver {driver_id}")
        self.driver_id = driver_id


class NoPosition(GoFleetError):
    """Nobody has heard where the driver is, or not for long."""

    code = "no-position"

    def __init__(self, driver_id: str) -> None:
        super().__init__(f"it is not known where driver {driver_id} is")
        self.driver_id = driver_id


class NoPickup(GoFleetError):
    """The order names no pickup, and there is no depot to stand in for it."""

    code = "no-pickup"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"order {order_id} has no pickup, and there is no depot")
        self.order_id = order_id


class UnknownDriver(Invalid):
    """The value names a driver who has no record."""

    code = "unknown-driver"

    def __init__(self, driver_id: str) -> None:
        super().__init__("driver_id", f"{driver_id} is no driver's")
        self.driver_id = driver_id


class NoDriverNearby(GoFleetError):
    """An answer, not a failure: nobody free, on duty and fresh within the radius."""

    code = "no-driver-nearby"

    def __init__(self, order_id: str, radius_km: float) -> None:
        super().__init__(f"no free driver within {radius_km:g} km of order {order_id}")
        self.order_id = order_id
        self.radius_km = radius_km


class AlreadyHandled(GoFleetError):
    """This consumer has applied this event before; nothing was changed now."""

    code = "already-handled"

    def __init__(self, consumer: str, event_id: str) -> None:
        super().__init__(f"{consumer} has handled event {event_id} before")
        self.consumer = consumer
        self.event_id = event_id


class Malformed(GoFleetError):
    """A message that no retry can cure."""

    code = "malformed"


class Unavailable(GoFleetError):
    """Something we depend on cannot be reached or did not answer in time; trying later may work."""

    code = "unavailable"

    def __init__(self, what: str, why: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(f"{what} is unavailable: {why}")
        self.what = what
        self.why = why
        self.retry_after_seconds = retry_after_seconds


class LoginRefused(Unavailable):
    """It is there, and does not let us in as who we say we are."""


class FleetUnavailable(Unavailable):
    """The fleet service failed us: this, and only this, is what the circuit breaker counts."""

    code = "fleet-unavailable"

    def __init__(self, why: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__("the fleet service", why, retry_after_seconds)


class MessageRefused(GoFleetError):
    """The broker is there and said no to this message: no queue receives it, or it was rejected."""

    code = "message-refused"


class DeadlineExceeded(GoFleetError):
    """One try at handling a message took longer than it may."""

    code = "deadline-exceeded"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not finished within {seconds:g} s")
        self.seconds = seconds


class FleetBreakerOpen(FleetUnavailable):
    """The fleet service failed so often that it is left alone for a while; nothing was asked."""

    code = "fleet-unavailable"

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("its circuit breaker is open", retry_after_seconds)


class ParkedMessageNotFound(GoFleetError):
    code = "no-such-parked-message"

    def __init__(self, id: int) -> None:
        super().__init__(f"there is no parked message {id}")
        self.id = id


class NotReplayable(GoFleetError):
    """Nobody consumes the queue that it came from."""

    code = "not-replayable"

    def __init__(self, queue: str) -> None:
        super().__init__(f"nobody here consumes the queue {queue!r}, so nothing can be put back into it")
        self.queue = queue


class CountMismatch(GoFleetError):
    """There are more or fewer than the caller believes; nothing was changed."""

    code = "count-mismatch"

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(f"expected {expected}, but there are {actual}; nothing was changed")
        self.expected = expected
        self.actual = actual


class Unauthenticated(GoFleetError):
    """Nobody knows who asks: no token, or one that proves nothing. `why` is for the log, and for whoever holds it."""

    code = "unauthenticated"

    def __init__(self, why: str, *, given: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.given = given


class PermissionDenied(GoFleetError):
    """It is known who asks, and they may not; with the `scope`, if that is what they lack, perhaps they might."""

    code = "forbidden"

    def __init__(self, why: str, scope: str | None = None) -> None:
        super().__init__(why)
        self.scope = scope


class RateLimitExceeded(GoFleetError):
    """Somebody asks more often than they may; after so many seconds they may again."""

    code = "too-many-requests"

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("you ask more often than you may")
        self.retry_after_seconds = retry_after_seconds


class OpenOrderLimitReached(GoFleetError):
    """A customer has so many orders that are not over."""

    code = "too-many-open-orders"

    def __init__(self, most: int) -> None:
        super().__init__(f"you have {most} orders that are not over, which is as many as there may be")
        self.most = most
