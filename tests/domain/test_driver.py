"""Drivers and their fixes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gofleet.domain.driver import Driver, Position
from gofleet.domain.errors import Invalid
from gofleet.domain.place import Place
from tests.makers import CENTRE

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 101, "\0", "\u202e"])
def test_a_name_is_printable_and_short(name: str) -> None:
    with pytest.raises(Invalid):
        Driver("ana", name).checked()


def test_a_fix_from_the_future_is_refused_but_a_fast_clock_is_not() -> None:
    Position("ana", CENTRE, NOW + timedelta(seconds=4)).checked(NOW)

    with pytest.raises(Invalid):
        Position("ana", CENTRE, NOW + timedelta(seconds=6)).checked(NOW)


def test_a_sensor_that_reports_zero_is_broken() -> None:
    with pytest.raises(Invalid):
        Position("ana", Place(0, 0), NOW).checked(NOW)
