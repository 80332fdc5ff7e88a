"""Domain errors, named by the fact. Each has a stable `code`, which every adapter translates into its protocol."""

from __future__ import annotations


class GoFleetError(Exception):
    """Base class of all GoFleet errors; `code` is a stable slug that clients may match on."""

    code = "error"


class Invalid(GoFleetError):
    """Invalid value. `field` is its name in the caller's notation, such as `price` or `pickup.lat`."""

    code = "invalid"

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field} {why}")
        self.field = field
        self.why = why


class InvalidTransition(GoFleetError):
    """The order's current status does not allow the requested transition."""

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
    """The id belongs to an order with different content."""

    code = "order-taken"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"order {order_id} exists already with other content")
        self.order_id = order_id


class StaleOrder(GoFleetError):
    """The order changed between read and write (optimistic lock); read it again."""

    code = "stale-order"

    def __init__(self, order_id: str, version: int) -> None:
        super().__init__(f"order {order_id} is no longer at version {version}")
        self.order_id = order_id
        self.version = version


class VersionMismatch(GoFleetError):
    """The requested version of `what` is not the current `version`, which is None if `what` does not exist."""

    code = "version-mismatch"

    def __init__(self, what: str, version: int | None) -> None:
        super().__init__(f"{what} is at version {version} by now" if version else f"{what} does not exist")
        self.what = what
        self.version = version


class UnknownCursor(GoFleetError):
    """A history cursor beyond the end: it came from another database, or from one that has lost commits since."""

    code = "unknown-moment"

    def __init__(self) -> None:
        super().__init__("the history has not come so far")


class DriverBusy(GoFleetError):
    """The driver cannot take the order: it already holds a live order, or is not registered."""

    code = "driver-busy"

    def __init__(self, driver_id: str) -> None:
        super().__init__(f"driver {driver_id} already holds a live order")
        self.driver_id = driver_id


class DriverNotFound(GoFleetError):
    code = "no-such-driver"

    def __init__(self, driver_id: str) -> None:
        super().__init__(f"there is no driver {driver_id}: register it first")
        self.driver_id = driver_id


class OffDutyByStaff(GoFleetError):
    """A driver cannot set itself on duty after staff set it off duty."""

    code = "off-duty-by-staff"

    def __init__(self, driver_id: str) -> None:
        super().__init__(f"driver {driver_id} was set off duty by staff")


class NoPosition(GoFleetError):
    """The driver's position is unknown or too old."""

    code = "no-position"

    def __init__(self, driver_id: str) -> None:
        super().__init__(f"it is not known where driver {driver_id} is")
        self.driver_id = driver_id


class NoPickup(GoFleetError):
    """The order has no pickup, and no depot is configured."""

    code = "no-pickup"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"order {order_id} has no pickup, and no depot is configured")
        self.order_id = order_id


class UnknownDriver(Invalid):
    """The value refers to a driver that is not registered."""

    code = "unknown-driver"

    def __init__(self, driver_id: str) -> None:
        super().__init__("driver_id", f"{driver_id} is not a registered driver")
        self.driver_id = driver_id


class NoDriverNearby(GoFleetError):
    """No free driver on duty with a recent position within the radius: a result, not a failure."""

    code = "no-driver-nearby"

    def __init__(self, order_id: str, radius_km: float) -> None:
        super().__init__(f"no free driver within {radius_km:g} km of order {order_id}")
        self.order_id = order_id
        self.radius_km = radius_km


class AlreadyHandled(GoFleetError):
    """The consumer has already applied this event; nothing was changed."""

    code = "already-handled"

    def __init__(self, consumer: str, event_id: str) -> None:
        super().__init__(f"{consumer} has already handled event {event_id}")
        self.consumer = consumer
        self.event_id = event_id


class Malformed(GoFleetError):
    """Invalid message: retrying cannot succeed."""

    code = "malformed"


class OrderEnded(GoFleetError):
    """The data of an order that has ended does not change."""

    code = "order-ended"

    def __init__(self, order_id: str, status: str) -> None:
        super().__init__(f"order {order_id} is {status}")


class UnknownEventType(Malformed):
    """An event of a type that this release does not know."""

    def __init__(self, type: str) -> None:
        super().__init__(f"the event type {type} is unknown")


class Unavailable(GoFleetError):
    """A dependency cannot be reached or did not answer in time; a later retry may succeed."""

    code = "unavailable"

    def __init__(self, what: str, why: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(f"{what} is unavailable: {why}")
        self.what = what
        self.why = why
        self.retry_after_seconds = retry_after_seconds


class Misconfigured(Unavailable):
    """The server is reachable, and it is not, or does not accept, what the settings say: a retry succeeds only after
    one of the two has been changed."""


class LoginRefused(Misconfigured):
    """The server refuses our credentials, or the database or virtual host that we name."""


class FleetUnavailable(Unavailable):
    """The fleet service failed; the only error that the circuit breaker counts."""

    code = "fleet-unavailable"

    def __init__(self, why: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__("the fleet service", why, retry_after_seconds)


class MessageRefused(GoFleetError):
    """The broker refused this message: it is unroutable, or was rejected."""

    code = "message-refused"


class DeadlineExceeded(GoFleetError):
    """One attempt to handle a message exceeded its deadline."""

    code = "deadline-exceeded"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not finished within {seconds:g} s")
        self.seconds = seconds


class FleetBreakerOpen(FleetUnavailable):
    """The circuit breaker is open: no call was made."""

    code = "fleet-unavailable"

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("its circuit breaker is open", retry_after_seconds)


class ParkedMessageNotFound(GoFleetError):
    code = "no-such-parked-message"

    def __init__(self, id: int) -> None:
        super().__init__(f"there is no parked message {id}")
        self.id = id


class NotReplayable(GoFleetError):
    """No GoFleet role consumes the queue that the message came from."""

    code = "not-replayable"

    def __init__(self, queue: str) -> None:
        super().__init__(f"queue {queue!r} has no consumer here, so its messages cannot be replayed")
        self.queue = queue


class CountMismatch(GoFleetError):
    """The number of matching items differs from the expected one; nothing was changed."""

    code = "count-mismatch"

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(f"expected {expected}, but there are {actual}; nothing was changed")
        self.expected = expected
        self.actual = actual


class Unauthenticated(GoFleetError):
    """Missing or invalid token. `why` goes to the log and to the client; `given` is False without a token."""

    code = "unauthenticated"

    def __init__(self, why: str, *, given: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.given = given


class PermissionDenied(GoFleetError):
    """The principal lacks the permission; `scope` is the missing scope, if one is missing."""

    code = "forbidden"

    def __init__(self, why: str, scope: str | None = None) -> None:
        super().__init__(why)
        self.scope = scope


class RateLimitExceeded(GoFleetError):
    """Rate limit exceeded; the next request is allowed after `retry_after_seconds`."""

    code = "too-many-requests"

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("too many requests in this period")
        self.retry_after_seconds = retry_after_seconds


class TooManyChanges(RateLimitExceeded):
    """The order was changed a moment ago: each change makes a dispatch that is under way begin anew."""

    code = "too-many-changes"


class OpenOrderLimitReached(GoFleetError):
    """The customer has the maximum number of open orders."""

    code = "too-many-open-orders"

    def __init__(self, most: int) -> None:
        super().__init__(f"you have {most} open orders, which is the maximum")
        self.most = most
