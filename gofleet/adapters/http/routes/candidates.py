"""The route of those who could be given an order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter, SkipValidation

from gofleet.adapters.http.answers import Answer
from gofleet.adapters.http.parameters import BadParameter, OrderId, filtering, parameter_id
from gofleet.adapters.http.problem_types import Slug
from gofleet.adapters.http.problems import documented
from gofleet.adapters.http.schemas.drivers import CandidateList, CandidateView
from gofleet.domain.driver import Sighting
from gofleet.domain.errors import Invalid

FindCandidates = Callable[[str, float | None, int], Awaitable[Sequence[Sighting]]]
FOUND = {200: Answer(CandidateList, description="Those near; none, if nobody is.")}


@get(
    "/{order_id:str}/candidates",
    operation_id="listCandidates",
    summary="Show who is near an order",
    responses=FOUND | documented(Slug.NO_SUCH_ORDER, Slug.NO_PICKUP, Slug.INVALID, Slug.FLEET_UNAVAILABLE),
)
async def candidates(
    order_id: OrderId,
    find_candidates: NamedDependency[SkipValidation[FindCandidates]],
    limit: Annotated[int, QueryParameter(ge=1, le=50, description="Items of one answer at most.")] = 5,
    radius_km: Annotated[
        float | None,
        filtering("How far from the pickup; at most and by default what is set.", 5.0, exclusive_minimum=0),
    ] = None,
) -> CandidateList:
    """Who is on duty near the pickup of the order, or near the depot if it has none: free or not, nearest first.

    Nobody is claimed by being shown, so a driver who is free here may have an order a moment later.
    """
    try:
        found = await find_candidates(parameter_id("order_id", order_id), radius_km, limit)
    except Invalid as error:
        if error.field != "radius_km":
            raise
        raise BadParameter(error.field, error.why) from error
    return CandidateList(items=[CandidateView.of(one) for one in found])
