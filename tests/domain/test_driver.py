"""Drivers and their positions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gofleet.domain.driver import Driver, Position
from gofleet.domain.errors import Invalid
from gofleet.domain.place import Place
from tests.makers import CENTRE

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 101, "\0", "\u202e"])
def test_rejects_an_invalid_name(name: str) -> None:
    with pytest.raises(Invalid):
        Driver("ana", name).checked()


def test_rejects_a_position_in_the_future_beyond_the_clock_skew() -> None:
    Position("ana", CENTRE, NOW + timedelta(seconds=4)).checked(NOW)

    with pytest.raises(Invalid):
        Position("ana", CENTRE, NOW + timedelta(seconds=6)).checked(NOW)


def test_rejects_the_position_zero_zero() -> None:
    with pytest.raises(Invalid):
        Position("ana", Place(0, 0), NOW).checked(NOW)
