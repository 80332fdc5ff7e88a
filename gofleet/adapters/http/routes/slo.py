"""How the service is doing, by its own objectives."""

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
"""For so long the answer may be reused: it looks at every order of the window."""
NAMES = [each.name for each in OBJECTIVES]


class IndicatorView(msgspec.Struct, frozen=True, kw_only=True):
    """One objective, and how well it is met."""

    name: Annotated[str, described("Which one.", *NAMES, enum=NAMES)]
    about: Annotated[str, described("Of what it is the share.", OBJECTIVES[0].about)]
    objective: Annotated[float, described("The share that must be good.", 0.95, minimum=0, maximum=1)]
    good: Annotated[int, described("So many were.", 96, minimum=0)]
    valid: Annotated[int, described("Of so many.", 100, minimum=0)]
    value: Annotated[float | None, described("The share; null when nothing happened.", 0.96, minimum=0, maximum=1)]
    met: Annotated[bool | None, described("Whether the objective is met; null when nothing happened.", True)]

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
    """The objectives over the last `window_seconds`."""

    window_seconds: Annotated[float, described("How far back.", WINDOW_SECONDS)]
    indicators: Annotated[list[IndicatorView], described("All four.")]


SHOWN = {200: ResponseDoc(SloView, description="The indicators.")}


@get(
    "/slo",
    operation_id="showIndicators",
    summary="Show the service level indicators",
    responses=SHOWN | problem_responses(),
    tags=["operations"],
)
async def get_slo(indicators: NamedDependency[SkipValidation[Indicators]]) -> Response[SloView]:
    """The four indicators of the last 15 minutes, of all API processes together, by PostgreSQL's records and clock."""
    found = await indicators.read(WINDOW_SECONDS)
    view = SloView(window_seconds=WINDOW_SECONDS, indicators=[IndicatorView.of(each) for each in found])
    return Response(view, headers={"Cache-Control": f"max-age={FRESH_SECONDS}"})
