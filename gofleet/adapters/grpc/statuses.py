"""Maps domain errors to gRPC statuses."""

from __future__ import annotations

from collections.abc import Mapping

from grpclib import GRPCError, Status

from gofleet.domain.errors import (
    AlreadyHandled,
    CountMismatch,
    DeadlineExceeded,
    DriverBusy,
    DriverNotFound,
    GoFleetError,
    Invalid,
    InvalidTransition,
    Malformed,
    MessageRefused,
    NoDriverNearby,
    NoPickup,
    NoPosition,
    NotReplayable,
    OffDutyByStaff,
    OpenOrderLimitReached,
    OrderEnded,
    OrderIdConflict,
    OrderNotFound,
    ParkedMessageNotFound,
    PermissionDenied,
    RateLimitExceeded,
    StaleOrder,
    Unauthenticated,
    Unavailable,
    UnknownCursor,
    VersionMismatch,
)

# An error has the status of its nearest ancestor in this table. As in gRPC's own definitions, the status tells what the
# caller can do: FAILED_PRECONDITION = nothing until the state changes; ABORTED = read again, then retry.
STATUSES: Mapping[type[GoFleetError], Status] = {
    Invalid: Status.INVALID_ARGUMENT,
    Malformed: Status.INVALID_ARGUMENT,
    NoDriverNearby: Status.NOT_FOUND,
    NoPosition: Status.NOT_FOUND,
    DriverNotFound: Status.NOT_FOUND,
    OrderNotFound: Status.NOT_FOUND,
    ParkedMessageNotFound: Status.NOT_FOUND,
    AlreadyHandled: Status.ALREADY_EXISTS,
    OrderIdConflict: Status.ALREADY_EXISTS,
    CountMismatch: Status.FAILED_PRECONDITION,
    DriverBusy: Status.FAILED_PRECONDITION,
    InvalidTransition: Status.FAILED_PRECONDITION,
    MessageRefused: Status.FAILED_PRECONDITION,
    NoPickup: Status.FAILED_PRECONDITION,
    OrderEnded: Status.FAILED_PRECONDITION,
    NotReplayable: Status.FAILED_PRECONDITION,
    OffDutyByStaff: Status.FAILED_PRECONDITION,
    UnknownCursor: Status.OUT_OF_RANGE,
    Unauthenticated: Status.UNAUTHENTICATED,
    PermissionDenied: Status.PERMISSION_DENIED,
    OpenOrderLimitReached: Status.FAILED_PRECONDITION,
    RateLimitExceeded: Status.RESOURCE_EXHAUSTED,
    StaleOrder: Status.ABORTED,
    VersionMismatch: Status.ABORTED,
    DeadlineExceeded: Status.DEADLINE_EXCEEDED,
    Unavailable: Status.UNAVAILABLE,
}

EXPECTED_STATUSES = {Status.OK, Status.NOT_FOUND, Status.INVALID_ARGUMENT, Status.RESOURCE_EXHAUSTED}
"""Outcomes that are no fault of the service: their spans are not marked as errors."""


def to_grpc_error(error: GoFleetError) -> GRPCError | None:
    """The error as a status; None if the table does not contain it, which means an internal error."""
    for ancestor in type(error).__mro__:
        if status := STATUSES.get(ancestor):
            return GRPCError(status, str(error))
    return None
