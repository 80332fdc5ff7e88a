"""The checker itself, on models with evident results."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.model.checker import Answer, Model, Step, TooManyStates, check


def counting(*, bad: int = -1, good: int = 3, faults: frozenset[int] = frozenset()) -> Model[int]:
    """From 0 by one or by two up to 4; reaching a number of `faults` is one."""

    def steps(number: int) -> Iterable[Step[int]]:
        for add in (1, 2):
            if number + add <= 4:
                yield Step(f"+{add}", number + add, number + add in faults)

    return Model(0, steps, lambda number: "too far" if number == bad else "", lambda number: number >= good)


def test_all_states_are_counted_once() -> None:
    result = check(counting())

    assert (result.verdict, result.states, result.transitions) == (Answer.HOLDS, 5, 7)


def test_the_shortest_way_to_a_broken_state_is_shown() -> None:
    result = check(counting(bad=4))

    assert (result.verdict, result.what, result.trace) == (Answer.BROKEN, "too far", ["+2", "+2"])


def test_a_state_that_only_a_fault_leads_home_from_is_stranded() -> None:
    result = check(counting(good=4, faults=frozenset({3, 4})))

    assert (result.verdict, result.trace) == (Answer.STRANDED, [])


def test_a_way_around_the_fault_is_a_way_home() -> None:
    assert check(counting(good=4, faults=frozenset({3}))).verdict is Answer.HOLDS


def test_a_world_without_an_end_is_not_called_sound() -> None:
    model = Model(0, lambda number: [Step("+1", number + 1)], lambda _: "", lambda _: True)

    with pytest.raises(TooManyStates):
        check(model, states_max=1000)


def test_states_alike_are_looked_at_once() -> None:
    def steps(pair: tuple[int, int]) -> Iterable[Step[tuple[int, int]]]:
        left, right = pair
        yield from [Step("left", (left + 1, right))] if left < 2 else []
        yield from [Step("right", (left, right + 1))] if right < 2 else []

    separate = Model((0, 0), steps, lambda _: "", lambda pair: pair == (2, 2))
    alike = Model((0, 0), steps, lambda _: "", lambda pair: pair == (2, 2), lambda pair: tuple(sorted(pair)))

    assert (check(separate).states, check(alike).states) == (9, 6)
