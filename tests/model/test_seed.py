"""Why the protocol is not the one that GoFleet began with: the shortest ways in which that one fails."""

from __future__ import annotations

import pytest

from tests.model.runs import SEED, Run

SHORTEST = {
    "S1": [
        "the relay publishes e0",
        "w0 receives e0",
        "w0 sets the key of e0 for a day",
        "w0 DIES at search",
    ],
    "S2": [
        "the relay publishes e0",
        "w0 receives e0",
        "w0 sets the key of e0 for a day",
        "w0 finds d0",
        "w0 reads o0, which is PENDING",
        "the customer cancels o0",
        "w0 gives o0 to d0",
    ],
    "S5": [
        "the relay publishes e0",
        "w0 receives e0",
        "w0 sets the key of e0 for a day",
        "the broker REDELIVERS e0, w0 lives on at search",
        "w1 receives e0",
        "w1 takes e0 for a duplicate",
        "w0 gets no driver: deletes the key",
    ],
    "S6": ["r0 claims o0/1, o0/2", "r0 publishes o0/2"],
    "S7": ["r0 claims o0/1, o0/2", "r0 publishes o0/1, NOT CONFIRMED"],
}


def name_of(run: Run) -> str:
    return run.name


@pytest.mark.parametrize("run", SEED, ids=name_of)
def test_the_protocol_that_was_replaced_fails(run: Run) -> None:
    result = run()

    assert (result.verdict, result.what) == (run.verdict, run.what), str(result)
    assert result.trace == SHORTEST.get(run.name.split()[0], result.trace)


def test_one_driver_gets_two_orders_though_nothing_fails() -> None:
    (run,) = (run for run in SEED if run.name.startswith("S3"))

    trace = run().trace

    assert [label for label in trace if "gives" in label] == ["w0 gives o0 to d0", "w0 gives o1 to d0"]
    assert not any(word.isupper() and len(word) > 3 for label in trace for word in label.split() if word != "PENDING")
