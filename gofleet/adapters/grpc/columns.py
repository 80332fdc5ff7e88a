"""Between messages, whose lists of things are columns, and the things themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from gofleet.adapters.grpc.pb import (
    FindDriversResponse,
    LocateDriversResponse,
    NearestDriversResponse,
    SearchDriverResponse,
    StreamPositionsRequest,
)
from gofleet.domain.driver import Candidate, Position, Sighting
from gofleet.domain.errors import Invalid
from gofleet.domain.place import Place

Shown = TypeVar("Shown", FindDriversResponse, LocateDriversResponse)
"""Two messages with the same columns, so that either may grow without the other."""
POSITIONS_MAX = 1000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode_candidates(found: Sequence[Candidate], claim_ms: int) -> SearchDriverResponse:
    claimed, *others = found
    return SearchDriverResponse(
        driver_id=claimed.driver_id,
        name=claimed.name,
        lat=claimed.place.lat,
        lng=claimed.place.lng,
        distance_m=claimed.distance_m,
        claim_expires_in_ms=claim_ms,
        candidate_ids=[other.driver_id for other in others],
        candidate_names=[other.name for other in others],
        candidate_lats=[other.place.lat for other in others],
        candidate_lngs=[other.place.lng for other in others],
        candidate_distances_m=[other.distance_m for other in others],
    )


def decode_positions(batch: StreamPositionsRequest, now: datetime) -> tuple[list[Position], int]:
    """The possible ones of the batch, and how many are not."""
    columns = (batch.driver_ids, batch.lats, batch.lngs, batch.recorded_at_ms)
    if len({len(column) for column in columns}) > 1:
        raise Invalid("batch", "has columns of different lengths")
    if len(batch.driver_ids) > POSITIONS_MAX:
        raise Invalid("batch", f"must hold at most {POSITIONS_MAX} positions")
    possible: list[Position] = []
    for driver_id, lat, lng, recorded_at_ms in zip(*columns, strict=True):
        try:
            possible.append(decode_position(driver_id, lat, lng, recorded_at_ms, now))
        except Invalid:
            continue
    return possible, len(batch.driver_ids) - len(possible)


def decode_position(driver_id: str, lat: float, lng: float, recorded_at_ms: int, now: datetime) -> Position:
    try:
        recorded_at = EPOCH + timedelta(milliseconds=recorded_at_ms) if recorded_at_ms else now
    except OverflowError:
        raise Invalid("recorded_at", "is not a time") from None
    return Position(driver_id, Place(lat, lng), recorded_at).checked(now)


def encode_positions(positions: Sequence[Position]) -> StreamPositionsRequest:
    return StreamPositionsRequest(
        driver_ids=[one.driver_id for one in positions],
        lats=[one.place.lat for one in positions],
        lngs=[one.place.lng for one in positions],
        recorded_at_ms=[to_epoch_ms(one.recorded_at) for one in positions],
    )


def encode_nearest(found: Sequence[Sighting]) -> NearestDriversResponse:
    return NearestDriversResponse(
        driver_ids=[one.position.driver_id for one in found],
        names=[one.name for one in found],
        lats=[one.position.place.lat for one in found],
        lngs=[one.position.place.lng for one in found],
        distances_m=[one.distance_m for one in found],
        seen_at_ms=[to_epoch_ms(one.position.recorded_at) for one in found],
        free=[one.free for one in found],
    )


def encode_sightings(found: Sequence[Sighting], answer: Shown) -> Shown:
    """`answer`, an empty one, with their columns."""
    answer.driver_ids = [one.position.driver_id for one in found]
    answer.names = [one.name for one in found]
    answer.lats = [one.position.place.lat for one in found]
    answer.lngs = [one.position.place.lng for one in found]
    answer.recorded_at_ms = [to_epoch_ms(one.position.recorded_at) for one in found]
    answer.free = [one.free for one in found]
    answer.on_duty = [one.on_duty for one in found]
    return answer


def to_epoch_ms(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)
