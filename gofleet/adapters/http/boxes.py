"""`bbox`: a part of the map, as RFC 7946, 5 writes it."""

from __future__ import annotations

import re
from typing import Annotated

from litestar.params import QueryParameter

from gofleet.adapters.http.parameters import BadParameter, filtering
from gofleet.domain.errors import Invalid
from gofleet.domain.place import BoundingBox

LONGEST_BOX = 200
_NUMBER = r"[+-]?[0-9]{1,3}(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?"
_BOX = re.compile(rf"{_NUMBER}(?:,{_NUMBER}){{3}}")


def box_of(text: str) -> BoundingBox:
    """`BadParameter` if it is none, or crosses the antimeridian."""
    if len(text) > LONGEST_BOX or not _BOX.fullmatch(text):
        raise BadParameter("bbox", "must be four numbers with commas between: min_lng,min_lat,max_lng,max_lat")
    try:
        return BoundingBox(*map(float, text.split(","))).checked("bbox")
    except Invalid as error:
        raise BadParameter("bbox", error.why) from error


def _about(what: str) -> QueryParameter:
    return filtering(
        f"{what}: min_lng,min_lat,max_lng,max_lat, degrees (WGS 84). Not across the antimeridian.",
        "-46.7,-23.6,-46.5,-23.5",
        pattern=f"^{_BOX.pattern}$",
        max_length=LONGEST_BOX,
    )


MapBox = Annotated[str | None, _about("Only those inside")]
MovesBox = Annotated[str | None, _about("Also how drivers move inside")]
