"""Route of the service level indicators."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from gofleet.adapters.http.fields import described
from gofleet.adapters.http.problems import ResponseDoc, problem_responses
from gofleet.domain.indicators import OBJECTIVES, WINDOW_SECONDS, Indicator
from gofleet.ports import Indicators

FRESH_SECONDS = 5
"""Lifetime of the cached indicators: computing them reads every order of the window."""
NAMES = [objective.name for objective in OBJECTIVES]


class IndicatorView(msgspec.Struct, frozen=True, kw_only=True):
    """A service level objective and its indicator."""

    name: Annotated[str, described("Name of the objective.", *NAMES, enum=NAMES)]
    about: Annotated[str, described("What the indicator measures.", OBJECTIVES[0].about)]
    objective: Annotated[float, described("Target share of good cases.", 0.95, minimum=0, maximum=1)]
    good: Annotated[int, described("Number of good cases.", 96, minimum=0)]
    valid: Annotated[int, described("Number of all cases.", 100, minimum=0)]
    value: Annotated[float | None, described("Share of good cases; null without any case.", 0.96, minimum=0, maximum=1)]
    met: Annotated[bool | None, described("Whether the objective is met; null without any case.", True)]

    @classmethod
    def of(cls, indicator: Indicator) -> IndicatorView:
        objective = indicator.objective
        return cls(
            name=objective.name,
            about=objective.about,
            objective=objective.target,
            good=indicator.good,
            valid=indicator.valid,
            value=indicator.value,
            met=indicator.met,
        )


class SloView(msgspec.Struct, frozen=True, kw_only=True):
    """The service level indicators of the last `window_seconds`."""

    window_seconds: Annotated[float, described("Length of the window.", WINDOW_SECONDS)]
    indicators: Annotated[list[IndicatorView], described("All four indicators.")]


INDICATORS_SHOWN = {200: ResponseDoc(SloView, description="The indicators.")}


@get(
    "/slo",
    operation_id="showIndicators",
    summary="Show the service level indicators",
    responses=INDICATORS_SHOWN | problem_responses(),
    tags=["operations"],
)
async def get_slo(indicators: NamedDependency[SkipValidation[Indicators]]) -> Response[SloView]:
    """The four indicators of the last 15 minutes for all API processes together, by PostgreSQL's records and clock."""
    current = await indicators.read(WINDOW_SECONDS)
    view = SloView(window_seconds=WINDOW_SECONDS, indicators=[IndicatorView.of(indicator) for indicator in current])
    return Response(view, headers={"Cache-Control": f"max-age={FRESH_SECONDS}"})
