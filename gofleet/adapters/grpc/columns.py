"""Conversion of domain objects and messages, whose lists are columns: `encode_*`, and `decode_*` with validation.

A response that no fleet service could send raises `FleetUnavailable`, an invalid request `Invalid`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from math import isfinite
from typing import NamedTuple, TypeVar

from grpclib import GRPCError, Status

from gofleet.adapters.grpc.pb import (
    FindDriversResponse,
    LocateDriversResponse,
    NearestDriversResponse,
    SearchDriverResponse,
    SearchDriversRequest,
    SearchDriversResponse,
    StreamPositionsRequest,
    StreamPositionsResponse,
)
from gofleet.domain.driver import Candidate, DriversInArea, Position, PositionBatchResult, Sighting
from gofleet.domain.errors import FleetUnavailable, Invalid
from gofleet.domain.place import Place
from gofleet.domain.values import identifier

SightingsResponse = TypeVar("SightingsResponse", FindDriversResponse, LocateDriversResponse)
"""Two messages with the same columns, so that each may change without the other."""
POSITIONS_MAX = 1000
SEARCHES_MAX = 32
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SearchOutcome = list[Candidate] | Exception
_CandidateRow = tuple[str, str, float, float, float]
_KNOWN_STATUSES = {status.value: status for status in Status}


class SearchItem(NamedTuple):
    """One search of a batch, with the fields of SearchDriverRequest, and the trace that it belongs to."""

    order_id: str
    pickup_lat: float | None
    pickup_lng: float | None
    radius_km: float
    limit: int
    exclude: Sequence[str]
    traceparent: str | None


def to_epoch_ms(time: datetime) -> int:
    """Milliseconds since 1970-01-01 UTC; never 0, which means "now" in a request: the epoch itself is 1 ms earlier."""
    return (time - EPOCH) // timedelta(milliseconds=1) or -1


# Positions


def encode_positions(positions: Sequence[Position]) -> StreamPositionsRequest:
    return StreamPositionsRequest(
        driver_ids=[position.driver_id for position in positions],
        lats=[position.place.lat for position in positions],
        lngs=[position.place.lng for position in positions],
        recorded_at_ms=[to_epoch_ms(position.recorded_at) for position in positions],
    )


def decode_positions(batch: StreamPositionsRequest, now: datetime) -> tuple[list[Position], int]:
    """The valid positions of the batch, and the number of invalid ones."""
    columns = (batch.driver_ids, batch.lats, batch.lngs, batch.recorded_at_ms)
    if len({len(column) for column in columns}) > 1:
        raise Invalid("batch", "has columns of different lengths")
    if len(batch.driver_ids) > POSITIONS_MAX:
        raise Invalid("batch", f"must hold at most {POSITIONS_MAX} positions")
    valid: list[Position] = []
    for driver_id, lat, lng, recorded_at_ms in zip(*columns, strict=True):
        try:
            valid.append(decode_position(driver_id, lat, lng, recorded_at_ms, now))
        except Invalid:
            continue
    return valid, len(batch.driver_ids) - len(valid)


def decode_position(driver_id: str, lat: float, lng: float, recorded_at_ms: int, now: datetime) -> Position:
    try:
        recorded_at = EPOCH + timedelta(milliseconds=recorded_at_ms) if recorded_at_ms else now
    except OverflowError:
        raise Invalid("recorded_at", "is not a time") from None
    return Position(driver_id, Place(lat, lng), recorded_at).checked(now)


def decode_batch_result(response: StreamPositionsResponse) -> PositionBatchResult:
    return PositionBatchResult(response.accepted, response.older, response.refused, frozenset(response.unregistered))


# One search


def encode_candidates(candidates: Sequence[Candidate], claim_ms: int) -> SearchDriverResponse:
    claimed, *others = candidates
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


def decode_candidates(response: SearchDriverResponse) -> list[Candidate]:
    """The claimed driver, then the others."""
    columns = (
        response.candidate_ids,
        response.candidate_names,
        response.candidate_lats,
        response.candidate_lngs,
        response.candidate_distances_m,
    )
    _check_lengths(columns)
    claimed = _candidate(response.driver_id, response.name, response.lat, response.lng, response.distance_m)
    return [claimed, *(_candidate(*row) for row in zip(*columns, strict=True))]


# A batch of searches


def encode_searches(searches: Sequence[SearchItem]) -> SearchDriversRequest:
    """All searches in one request; each must have its pickup."""
    return SearchDriversRequest(
        order_ids=[search.order_id for search in searches],
        pickup_lats=[search.pickup_lat for search in searches if search.pickup_lat is not None],
        pickup_lngs=[search.pickup_lng for search in searches if search.pickup_lng is not None],
        radii_km=[search.radius_km for search in searches],
        limits=[search.limit for search in searches],
        exclude_counts=[len(search.exclude) for search in searches],
        excluded=[driver_id for search in searches for driver_id in search.exclude],
        traceparents=[search.traceparent or "" for search in searches],
    )


def decode_searches(batch: SearchDriversRequest) -> list[SearchItem]:
    """The searches of a batch, not validated individually; `Invalid` if the batch itself is malformed."""
    count = len(batch.order_ids)
    if count > SEARCHES_MAX:
        raise Invalid("searches", f"must be at most {SEARCHES_MAX}")
    columns = (
        batch.order_ids,
        batch.pickup_lats,
        batch.pickup_lngs,
        batch.radii_km or [0.0] * count,
        batch.limits or [0] * count,
        batch.exclude_counts or [0] * count,
        batch.traceparents or [""] * count,
    )
    if any(len(column) != count for column in columns):
        raise Invalid("searches", "have columns of different lengths")
    if sum(columns[5]) != len(batch.excluded):
        raise Invalid("searches", "exclude more or fewer drivers than they name")
    slices = _slices(columns[5])
    return [
        SearchItem(order_id, lat, lng, radius_km, limit, batch.excluded[part], traceparent or None)
        for (order_id, lat, lng, radius_km, limit, _, traceparent), part in zip(
            zip(*columns, strict=True), slices, strict=True
        )
    ]


def encode_outcomes(outcomes: Sequence[list[Candidate] | GRPCError], claim_ms: int) -> SearchDriversResponse:
    """The response to a batch of searches."""
    errors = [outcome if isinstance(outcome, GRPCError) else None for outcome in outcomes]
    found = [[] if isinstance(outcome, GRPCError) else outcome for outcome in outcomes]
    rows = [candidate for candidates in found for candidate in candidates]
    return SearchDriversResponse(
        statuses=[error.status.value if error else Status.OK.value for error in errors],
        messages=[error.message or "" if error else "" for error in errors],
        counts=[len(candidates) for candidates in found],
        claim_expires_in_ms=claim_ms,
        driver_ids=[candidate.driver_id for candidate in rows],
        names=[candidate.name for candidate in rows],
        lats=[candidate.place.lat for candidate in rows],
        lngs=[candidate.place.lng for candidate in rows],
        distances_m=[candidate.distance_m for candidate in rows],
    )


def decode_outcomes(response: SearchDriversResponse, searches: int) -> list[SearchOutcome]:
    """The outcome of each search, which may be `FleetUnavailable` for a single one."""
    by_search = (response.statuses, response.messages, response.counts)
    columns = (response.driver_ids, response.names, response.lats, response.lngs, response.distances_m)
    total = sum(response.counts)
    if {len(column) for column in by_search} != {searches} or any(len(column) != total for column in columns):
        raise _malformed("columns of different lengths")
    rows = list(zip(*columns, strict=True))
    return [
        _outcome(status, message, rows[part])
        for status, message, part in zip(response.statuses, response.messages, _slices(response.counts), strict=True)
    ]


# Drivers on a map


def encode_nearest(sightings: Sequence[Sighting]) -> NearestDriversResponse:
    return NearestDriversResponse(
        driver_ids=[sighting.position.driver_id for sighting in sightings],
        names=[sighting.name for sighting in sightings],
        lats=[sighting.position.place.lat for sighting in sightings],
        lngs=[sighting.position.place.lng for sighting in sightings],
        distances_m=[sighting.distance_m for sighting in sightings],
        seen_at_ms=[to_epoch_ms(sighting.position.recorded_at) for sighting in sightings],
        free=[sighting.free for sighting in sightings],
        busy=[sighting.busy for sighting in sightings],
    )


def decode_nearest(response: NearestDriversResponse) -> list[Sighting]:
    """Drivers on duty near a place."""
    columns = (response.driver_ids, response.names, response.lats, response.lngs, response.distances_m)
    others = (response.seen_at_ms, response.free, _busy(response))
    _check_lengths((*columns, *others))
    candidates = [_candidate(*row) for row in zip(*columns, strict=True)]
    return [
        Sighting(_position(one, epoch_ms), one.name, on_duty=True, free=free, busy=busy, distance_m=one.distance_m)
        for one, epoch_ms, free, busy in zip(candidates, *others, strict=True)
    ]


def encode_sightings(sightings: Sequence[Sighting], response: SightingsResponse) -> SightingsResponse:
    """`response`, an empty message, filled with the columns of `sightings`."""
    response.driver_ids = [sighting.position.driver_id for sighting in sightings]
    response.names = [sighting.name for sighting in sightings]
    response.lats = [sighting.position.place.lat for sighting in sightings]
    response.lngs = [sighting.position.place.lng for sighting in sightings]
    response.recorded_at_ms = [to_epoch_ms(sighting.position.recorded_at) for sighting in sightings]
    response.free = [sighting.free for sighting in sightings]
    response.on_duty = [sighting.on_duty for sighting in sightings]
    response.busy = [sighting.busy for sighting in sightings]
    return response


def decode_sightings(response: FindDriversResponse | LocateDriversResponse) -> list[Sighting]:
    """Drivers in an area, or of given ids."""
    columns = (response.driver_ids, response.names, response.lats, response.lngs)
    others = (response.recorded_at_ms, response.on_duty, response.free, _busy(response))
    _check_lengths((*columns, *others))
    candidates = [_candidate(*row, 0.0) for row in zip(*columns, strict=True)]
    return [
        Sighting(_position(one, epoch_ms), one.name, on_duty, free, busy)
        for one, epoch_ms, on_duty, free, busy in zip(candidates, *others, strict=True)
    ]


def decode_area(response: FindDriversResponse) -> DriversInArea:
    return DriversInArea(decode_sightings(response), response.truncated, response.total)


def _busy(response: NearestDriversResponse | FindDriversResponse | LocateDriversResponse) -> Sequence[bool]:
    """The column `busy`, which services before it existed do not send."""
    return response.busy or [False] * len(response.driver_ids)


def _outcome(status: int, message: str, rows: Sequence[_CandidateRow]) -> SearchOutcome:
    if status != Status.OK.value:
        return GRPCError(_KNOWN_STATUSES.get(status, Status.UNKNOWN), message)
    if not rows:
        return _malformed("OK without a driver")
    try:
        return [_candidate(*row) for row in rows]
    except FleetUnavailable as error:
        return error


def _candidate(driver_id: str, name: str, lat: float, lng: float, distance_m: float) -> Candidate:
    """One driver of a response; `FleetUnavailable` if it is impossible."""
    try:
        identifier("driver_id", driver_id)
        place = Place(lat, lng).checked("driver")
    except Invalid as error:
        raise _malformed(str(error)) from error
    if not (isfinite(distance_m) and distance_m >= 0):
        raise _malformed(f"a distance of {distance_m} m")
    return Candidate(driver_id, name, place, distance_m)


def _position(candidate: Candidate, epoch_ms: int) -> Position:
    try:
        return Position(candidate.driver_id, candidate.place, EPOCH + timedelta(milliseconds=epoch_ms))
    except OverflowError as error:
        raise _malformed("a time outside the calendar") from error


def _check_lengths(columns: Sequence[Sequence[object]]) -> None:
    if len({len(column) for column in columns}) > 1:
        raise _malformed("columns of different lengths")


def _malformed(reason: str) -> FleetUnavailable:
    return FleetUnavailable(f"malformed response: {reason}")


def _slices(counts: Sequence[int]) -> Iterator[slice]:
    return (slice(start, end) for start, end in pairwise(accumulate(counts, initial=0)))
