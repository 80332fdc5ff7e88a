"""Drivers and their positions in requests and responses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from gofleet.adapters.http.faults import CHECK
from gofleet.adapters.http.fields import (
    Count,
    DriverId,
    Lat,
    Lng,
    Name,
    NextCursor,
    OrderId,
    described,
    timestamp,
)
from gofleet.adapters.http.problems import InvalidValue
from gofleet.adapters.json_schema import REFERENCE
from gofleet.domain.driver import Driver, DriverState, Sighting, recorded_before

POSITIONS_MAX = 500


def _check_recorded_at(field: str, time: datetime) -> None:
    recorded_before(field, time, datetime.now(UTC))


OnDuty = Annotated[bool, described("Whether the driver accepts orders.")]
RecordedAt = Annotated[
    datetime | None,
    timestamp("Time by the device's clock, at most 5 s ahead of the server's; by default now."),
    msgspec.Meta(extra={CHECK: _check_recorded_at}),
]
MeasuredAt = Annotated[datetime, timestamp("Time at which the device measured the position.")]
FleetFree = Annotated[bool, described("On duty, seen recently and without an order, as far as the fleet knows.")]
STATE = (
    "`busy`: holds an order, on duty or not; else `off_duty`; else `silent`: no recent position{known}; else `free`."
)
FleetState = Annotated[DriverState, described(STATE.format(known=""), "free")]


class NewDriver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A driver's whole record: an omitted field is reset to its default."""

    name: Name
    on_duty: OnDuty = True


class SetDuty(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a driver is on duty."""

    on_duty: OnDuty


class LastSeenView(msgspec.Struct, frozen=True, kw_only=True):
    """The last position of a driver."""

    lat: Lat
    lng: Lng
    recorded_at: MeasuredAt


class DriverView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A driver."""

    id: DriverId
    name: Name
    on_duty: OnDuty
    free: Annotated[bool, described("On duty and without an order; on a map also seen recently.")]
    state: Annotated[DriverState, described(STATE.format(known=", known only on a map"), "free")]
    order_id: Annotated[OrderId | None, described("Live order that the driver holds.", None)]
    version: Annotated[
        int,
        described("Number of changes of the record, starting at 1.", 3, minimum=1, maximum=2**31 - 1),
    ]
    off_duty_by: Annotated[
        str | None,
        described(
            "Member of staff that set the driver off duty; only staff can set it on duty again. Absent if the driver"
            " did, or is on duty. Drivers see the role, not the name.",
            "dispatcher:ana",
        ),
    ] = None
    position: Annotated[LastSeenView | None, described("Last position; only on a map.")] = None

    @classmethod
    def of(cls, driver: Driver) -> DriverView:
        return msgspec.convert(driver, cls, from_attributes=True)

    @classmethod
    def on_map(cls, driver: Driver, sighting: Sighting) -> DriverView:
        """The driver with the position from the fleet and the order from PostgreSQL; free only if both say so."""
        state = DriverState.of(
            busy=driver.order_id is not None or sighting.busy,
            on_duty=driver.on_duty and sighting.on_duty,
            seen=sighting.state is not DriverState.SILENT,
        )
        return msgspec.structs.replace(
            cls.of(driver),
            free=state is DriverState.FREE,
            state=state,
            position=LastSeenView(
                lat=sighting.position.place.lat,
                lng=sighting.position.place.lng,
                recorded_at=sighting.position.recorded_at,
            ),
        )


class DriverPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of drivers sorted by id, or the drivers in a part of the map."""

    items: Annotated[list[DriverView], described("Drivers of this page, at most `limit`.")]
    next_cursor: NextCursor
    truncated: Annotated[
        bool | None, described("Only on a map: whether drivers are missing from `items`; request smaller boxes.", True)
    ] = None
    total: Annotated[
        int | None,
        described(
            "Only on a map: number of drivers that match, of the 5000 nearest to the centre. Absent while the fleet"
            " service is older than this API.",
            812,
            minimum=0,
        ),
    ] = None


class PositionView(msgspec.Struct, frozen=True, kw_only=True):
    """The last position of a driver."""

    lat: Lat
    lng: Lng
    recorded_at: MeasuredAt
    free: FleetFree
    state: FleetState


class CandidateView(msgspec.Struct, frozen=True, kw_only=True):
    """A driver near the pickup of an order."""

    driver_id: DriverId
    name: Name
    lat: Lat
    lng: Lng
    distance_m: Annotated[float, described("Great-circle distance from the pickup in metres.", 412.7, minimum=0)]
    seen_at: MeasuredAt
    free: FleetFree
    state: FleetState

    @classmethod
    def of(cls, sighting: Sighting) -> CandidateView:
        position = sighting.position
        return cls(
            driver_id=position.driver_id,
            name=sighting.name,
            lat=position.place.lat,
            lng=position.place.lng,
            distance_m=round(sighting.distance_m, 1),
            seen_at=position.recorded_at,
            free=sighting.free,
            state=sighting.state,
        )


class CandidateList(msgspec.Struct, frozen=True, kw_only=True):
    """Drivers on duty near the pickup of an order, nearest first."""

    items: Annotated[list[CandidateView], described("Candidates, at most `limit`.")]


class LocationUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A position reported by a driver's device."""

    lat: Lat
    lng: Lng
    recorded_at: RecordedAt = None


class DriverLocationUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A position reported by the device of one of several drivers."""

    driver_id: DriverId
    lat: Lat
    lng: Lng
    recorded_at: RecordedAt = None


class LocationUpdateBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Positions of several drivers; of several positions of one driver the newest counts."""

    # Decoded one by one, so that an invalid position does not refuse the others.
    positions: Annotated[
        list[Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"$ref": REFERENCE + "DriverLocationUpdate"})]],
        msgspec.Meta(min_length=1, max_length=POSITIONS_MAX, description="1 to 500 positions."),
    ]


class PositionBatchView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of a batch of positions."""

    applied: Count
    older: Annotated[Count, described("Positions ignored because a newer one is known.", 1)]
    refused: Annotated[Count, described("Positions rejected: invalid, impossible, or of an unregistered driver.", 0)]
    errors: Annotated[list[InvalidValue], described("The invalid values of rejected positions.")] = []
