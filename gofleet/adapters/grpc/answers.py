"""What the fleet service answers, checked before anybody acts on it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from gofleet.adapters.grpc.pb import SearchDriverResponse, StreamPositionsResponse
from gofleet.domain.driver import Candidate
from gofleet.domain.errors import FleetUnavailable, Invalid
from gofleet.domain.ids import identifier
from gofleet.domain.place import Place


@dataclass(frozen=True)
class Streamed:
    """What became of the positions of a stream; `older` = a newer one was known, `refused` = impossible."""

    accepted: int
    older: int
    refused: int


def streamed(answer: StreamPositionsResponse) -> Streamed:
    return Streamed(answer.accepted, answer.older, answer.refused)


def candidates(answer: SearchDriverResponse) -> list[Candidate]:
    """The claimed driver, then the others; `FleetUnavailable` if any of it is not what a fleet could answer."""
    columns = (
        answer.candidate_ids,
        answer.candidate_names,
        answer.candidate_lats,
        answer.candidate_lngs,
        answer.candidate_distances_m,
    )
    if len({len(column) for column in columns}) > 1:
        raise FleetUnavailable("its answer makes no sense: columns of different lengths")
    claimed = _candidate(answer.driver_id, answer.name, answer.lat, answer.lng, answer.distance_m)
    return [claimed, *(_candidate(*row) for row in zip(*columns, strict=True))]


def _candidate(driver_id: str, name: str, lat: float, lng: float, distance_m: float) -> Candidate:
    try:
        identifier("driver_id", driver_id)
        place = Place(lat, lng).checked("driver")
    except Invalid as error:
        raise FleetUnavailable(f"its answer makes no sense: {error}") from error
    if not (isfinite(distance_m) and distance_m >= 0):
        raise FleetUnavailable(f"its answer makes no sense: {distance_m} m away")
    return Candidate(driver_id, name, place, distance_m)
