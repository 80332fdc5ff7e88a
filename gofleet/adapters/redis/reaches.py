"""How far searches around a place had to look, so that the next one begins there."""

from __future__ import annotations

from collections import OrderedDict

from gofleet.domain.place import Place

PLACES_MAX = 4096
CELLS_PER_DEGREE = 100
"""A cell is about 1.1 km high."""
MARGIN = 1.25
STEPS = 64
"""The first circle of a search around an unknown place has 1/64 of its radius."""
SMALLEST_M = 10.0


class SearchReaches:
    """The distance in metres of the last driver that the latest search in a cell examined, for the `places_max` cells
    that were searched last.

    Where the nearest drivers are taken, a search that grows from a small circle takes one GEOSEARCH for each doubling;
    where hundreds wait at one place, a circle that is too large measures all of them. Both are corrected by the next
    search: a circle that is too small grows, and one that is too large shows how little was needed.
    """

    def __init__(self, places_max: int = PLACES_MAX) -> None:
        self._metres: OrderedDict[tuple[int, int], float] = OrderedDict()
        self._places_max = places_max

    def first(self, place: Place, radius_m: float) -> float:
        """The radius with which a search of `radius_m` begins."""
        metres = self._metres.get(_cell(place))
        return radius_m / STEPS if metres is None else min(max(metres * MARGIN, SMALLEST_M), radius_m)

    def learn(self, place: Place, metres: float) -> None:
        """A search examined drivers up to this distance."""
        cell = _cell(place)
        self._metres[cell] = metres
        self._metres.move_to_end(cell)
        if len(self._metres) > self._places_max:
            self._metres.popitem(last=False)


def _cell(place: Place) -> tuple[int, int]:
    return round(place.lat * CELLS_PER_DEGREE), round(place.lng * CELLS_PER_DEGREE)
