"""The edges of places, as a client writes them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gofleet.domain.errors import Invalid
from gofleet.domain.place import latitude, longitude


@pytest.mark.parametrize("text", ["85.05", "-85.05"])
def test_the_documented_edges_of_latitude_are_accepted(text: str) -> None:
    latitude("lat", float(text))
    latitude("lat", Decimal(text))
    with pytest.raises(Invalid):
        latitude("lat", Decimal(text) * Decimal("1.0001"))


@pytest.mark.parametrize("text", ["180", "-180"])
def test_the_edges_of_longitude_are_accepted(text: str) -> None:
    longitude("lng", float(text))
    longitude("lng", Decimal(text))
