"""How the service is doing, by its own objectives."""

from __future__ import annotations

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from gofleet.adapters.http.problems import documented
from gofleet.domain.indicators import WINDOW_SECONDS, Indicator
from gofleet.ports import Indicators

FRESH_SECONDS = 5
"""For so long the answer may be reused: it looks at every order of the window."""


class IndicatorView(msgspec.Struct, frozen=True, kw_only=True):
    """One objective: `value` is the share of `good` in `valid` cases, null when there were none."""

    name: str
    about: str
    objective: float
    good: int
    valid: int
    value: float | None
    met: bool | None

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

    window_seconds: float
    indicators: list[IndicatorView]


@get("/slo", summary="Show the service level indicators", responses=documented(503), tags=["operations"])
async def slo(indicators: NamedDependency[SkipValidation[Indicators]]) -> Response[SloView]:
    """The four indicators of the last 15 minutes, of all API processes together, by PostgreSQL's records and clock."""
    found = await indicators.read(WINDOW_SECONDS)
    view = SloView(window_seconds=WINDOW_SECONDS, indicators=[IndicatorView.of(each) for each in found])
    return Response(view, headers={"Cache-Control": f"max-age={FRESH_SECONDS}"})
