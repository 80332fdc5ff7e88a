"""Our protocol under every interleaving of small worlds; larger ones by `just model --budget large`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.model.checker import Answer
from tests.model.runs import MUTANTS, NOT_LOAD_BEARING, SMALL, Run


def name_of(run: Run) -> str:
    return run.name


@pytest.mark.parametrize("run", SMALL, ids=name_of)
def test_the_protocol_holds(run: Run, record_property: Callable[[str, object], None]) -> None:
    result = run()

    record_property("states", result.states)
    record_property("transitions", result.transitions)
    assert result.verdict is Answer.HOLDS, str(result)


@pytest.mark.parametrize("run", MUTANTS, ids=name_of)
def test_a_protocol_without_one_of_its_guards_is_caught(run: Run) -> None:
    """A checker that finds nothing proves nothing: each guard taken away must show, by what it is there for."""
    result = run()

    assert (result.verdict, result.what) == (run.verdict, run.what), str(result)
    assert result.trace


@pytest.mark.parametrize("run", NOT_LOAD_BEARING, ids=name_of)
def test_what_saves_work_is_not_what_keeps_promises(run: Run) -> None:
    """Documents that no property depends on these: without them all of them hold as well."""
    result = run()

    assert result.verdict is Answer.HOLDS, str(result)
