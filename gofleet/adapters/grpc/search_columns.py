"""Between many searches and the columns that they travel in, on both ends of the call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from grpclib import GRPCError, Status

from gofleet.adapters.grpc.answers import decode_candidate
from gofleet.adapters.grpc.pb import SearchDriversRequest, SearchDriversResponse
from gofleet.domain.driver import Candidate
from gofleet.domain.errors import FleetUnavailable, Invalid

SEARCHES_MAX = 32
SearchOutcome = list[Candidate] | Exception


class SearchItem(NamedTuple):
    """One of them, as SearchDriverRequest has it, and the trace that it belongs to."""

    order_id: str
    pickup_lat: float | None
    pickup_lng: float | None
    radius_km: float
    limit: int
    exclude: Sequence[str]
    traceparent: str | None


def decode_searches(batch: SearchDriversRequest) -> list[SearchItem]:
    """The searches of a call, none of them checked; `Invalid` when it is no call of searches at all."""
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
    shares = _shares(columns[5])
    return [
        SearchItem(order_id, lat, lng, radius_km, limit, batch.excluded[share], traceparent or None)
        for (order_id, lat, lng, radius_km, limit, _, traceparent), share in zip(
            zip(*columns, strict=True), shares, strict=True
        )
    ]


def encode_outcomes(outcomes: Sequence[list[Candidate] | GRPCError], claim_ms: int) -> SearchDriversResponse:
    """The answer to a call of searches."""
    failures = [outcome if isinstance(outcome, GRPCError) else None for outcome in outcomes]
    found = [[] if isinstance(outcome, GRPCError) else outcome for outcome in outcomes]
    everybody = [one for candidates in found for one in candidates]
    return SearchDriversResponse(
        statuses=[failure.status.value if failure else Status.OK.value for failure in failures],
        messages=[failure.message or "" if failure else "" for failure in failures],
        counts=[len(candidates) for candidates in found],
        claim_expires_in_ms=claim_ms,
        driver_ids=[one.driver_id for one in everybody],
        names=[one.name for one in everybody],
        lats=[one.place.lat for one in everybody],
        lngs=[one.place.lng for one in everybody],
        distances_m=[one.distance_m for one in everybody],
    )


def encode_searches(searches: Sequence[SearchItem]) -> SearchDriversRequest:
    """All of them in one request; each needs its pickup."""
    return SearchDriversRequest(
        order_ids=[one.order_id for one in searches],
        pickup_lats=[one.pickup_lat for one in searches if one.pickup_lat is not None],
        pickup_lngs=[one.pickup_lng for one in searches if one.pickup_lng is not None],
        radii_km=[one.radius_km for one in searches],
        limits=[one.limit for one in searches],
        exclude_counts=[len(one.exclude) for one in searches],
        excluded=[driver_id for one in searches for driver_id in one.exclude],
        traceparents=[one.traceparent or "" for one in searches],
    )


def decode_outcomes(answer: SearchDriversResponse, searches: int) -> list[SearchOutcome]:
    """What became of each search; `FleetUnavailable` for all, or one, if no fleet could answer so."""
    by_search = (answer.statuses, answer.messages, answer.counts)
    columns = (answer.driver_ids, answer.names, answer.lats, answer.lngs, answer.distances_m)
    everybody = sum(answer.counts)
    if {len(column) for column in by_search} != {searches} or any(len(column) != everybody for column in columns):
        raise FleetUnavailable("its answer makes no sense: columns of different lengths")
    rows = list(zip(*columns, strict=True))
    return [
        _outcome(status, message, rows[share])
        for status, message, share in zip(answer.statuses, answer.messages, _shares(answer.counts), strict=True)
    ]


def _outcome(status: int, message: str, rows: Sequence[tuple[str, str, float, float, float]]) -> SearchOutcome:
    if status != Status.OK.value:
        known = Status(status) if status in Status._value2member_map_ else Status.UNKNOWN
        return GRPCError(known, message)
    if not rows:
        return FleetUnavailable("its answer makes no sense: nobody, and all is well")
    try:
        return [decode_candidate(*row) for row in rows]
    except FleetUnavailable as error:
        return error


def _shares(counts: Sequence[int]) -> Iterator[slice]:
    return (slice(start, end) for start, end in pairwise(accumulate(counts, initial=0)))
