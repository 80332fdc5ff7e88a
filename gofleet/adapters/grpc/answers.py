"""What the fleet service answers, checked before anybody acts on it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite

from gofleet.adapters.grpc.pb import (
    FindDriversResponse,
    LocateDriversResponse,
    NearestDriversResponse,
    SearchDriverResponse,
    StreamPositionsResponse,
)
from gofleet.domain.driver import Candidate, Position, PositionBatchResult, Sighting
from gofleet.domain.errors import FleetUnavailable, Invalid
from gofleet.domain.place import Place
from gofleet.domain.values import identifier

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decode_batch_result(answer: StreamPositionsResponse) -> PositionBatchResult:
    return PositionBatchResult(answer.accepted, answer.older, answer.refused)


def decode_candidates(answer: SearchDriverResponse) -> list[Candidate]:
    """The claimed driver, then the others; `FleetUnavailable` if any of it is not what a fleet could answer."""
    columns = (
        answer.candidate_ids,
        answer.candidate_names,
        answer.candidate_lats,
        answer.candidate_lngs,
        answer.candidate_distances_m,
    )
    _check_lengths(columns)
    claimed = decode_candidate(answer.driver_id, answer.name, answer.lat, answer.lng, answer.distance_m)
    return [claimed, *(decode_candidate(*row) for row in zip(*columns, strict=True))]


def decode_nearest(answer: NearestDriversResponse) -> list[Sighting]:
    """Those on duty near a place; `FleetUnavailable` as in `candidates`."""
    columns = (answer.driver_ids, answer.names, answer.lats, answer.lngs, answer.distances_m)
    others = (answer.seen_at_ms, answer.free)
    _check_lengths((*columns, *others))
    found = [decode_candidate(*row) for row in zip(*columns, strict=True)]
    return [
        Sighting(_position(one, at_ms), one.name, on_duty=True, free=free, distance_m=one.distance_m)
        for one, at_ms, free in zip(found, *others, strict=True)
    ]


def decode_sightings(answer: FindDriversResponse | LocateDriversResponse) -> list[Sighting]:
    """Those on a map; `FleetUnavailable` as in `candidates`."""
    columns = (answer.driver_ids, answer.names, answer.lats, answer.lngs)
    others = (answer.recorded_at_ms, answer.on_duty, answer.free)
    _check_lengths((*columns, *others))
    found = [decode_candidate(*row, 0.0) for row in zip(*columns, strict=True)]
    return [
        Sighting(_position(one, at_ms), one.name, on_duty, free)
        for one, at_ms, on_duty, free in zip(found, *others, strict=True)
    ]


def _check_lengths(columns: Sequence[Sequence[object]]) -> None:
    if len({len(column) for column in columns}) > 1:
        raise FleetUnavailable("its answer makes no sense: columns of different lengths")


def _position(one: Candidate, at_ms: int) -> Position:
    try:
        return Position(one.driver_id, one.place, EPOCH + timedelta(milliseconds=at_ms))
    except OverflowError as error:
        raise FleetUnavailable("its answer makes no sense: a time outside the calendar") from error


def decode_candidate(driver_id: str, name: str, lat: float, lng: float, distance_m: float) -> Candidate:
    """One of an answer; `FleetUnavailable` if there can be no such driver."""
    try:
        identifier("driver_id", driver_id)
        place = Place(lat, lng).checked("driver")
    except Invalid as error:
        raise FleetUnavailable(f"its answer makes no sense: {error}") from error
    if not (isfinite(distance_m) and distance_m >= 0):
        raise FleetUnavailable(f"its answer makes no sense: {distance_m} m away")
    return Candidate(driver_id, name, place, distance_m)
