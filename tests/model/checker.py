"""A small explicit-state model checker: every state that can be reached is looked at, nearest first.

A model is checked for two properties:

- safety: is any reachable state broken? The answer is the shortest way there, for the search goes breadth first.
- liveness, in the form "from wherever we are, we can still get home": does a path without further faults lead from
  every reachable state to a good one (AG EF good)? A state without one is stranded, which no waiting cures. This form
  needs no fairness: a path that exists is taken sooner or later by a system that never stops trying.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

S = TypeVar("S", bound=Hashable)


class Step(NamedTuple, Generic[S]):
    """One possible next step. A `fault` may happen, but no property may depend on it."""

    label: str
    state: S
    fault: bool = False


class Answer(StrEnum):
    HOLDS = "HOLDS"
    BROKEN = "BROKEN"
    STRANDED = "STRANDED"


@dataclass(frozen=True)
class Model(Generic[S]):
    """`broken` names what is wrong with a state, "" if nothing; `alike` gives the same key to states that differ by
    names alone (such as which of two equal workers is which), so that one of them is looked at for all."""

    start: S
    steps: Callable[[S], Iterable[Step[S]]]
    broken: Callable[[S], str]
    good: Callable[[S], bool]
    alike: Callable[[S], Hashable] = lambda state: state


class TooManyStates(Exception):
    """The model is larger than the caller was ready to pay for: nothing is known."""


@dataclass
class Result:
    """What was found. `trace` = the labels of the shortest way to it, empty when all holds."""

    verdict: Answer
    states: int
    transitions: int
    seconds: float
    what: str = ""
    trace: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        found = f"{self.verdict}  {self.states:,} states  {self.transitions:,} transitions  {self.seconds:.1f} s"
        steps = "".join(f"\n    {number}. {label}" for number, label in enumerate(self.trace, 1))
        return f"{found}  {self.what}{steps}".rstrip()


def check(model: Model[S], states_max: int = 5_000_000) -> Result:
    """Look at everything; stops at the first broken state. `TooManyStates` beyond `states_max`."""
    with _without_garbage():
        return _Search(model, states_max).run()


@contextmanager
def _without_garbage() -> Generator[None]:
    """States are millions of tuples without cycles, through which the collector of cycles would walk in vain."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class _Search(Generic[S]):
    """States are numbered as they are found, so a lower number is never farther from the start."""

    def __init__(self, model: Model[S], states_max: int) -> None:
        self.model, self.states_max = model, states_max
        self.began = time.perf_counter()
        self.states: list[S] = [model.start]
        self.numbers: dict[Hashable, int] = {model.alike(model.start): 0}
        self.parents: list[int] = [-1]
        self.homewards: list[list[int]] = [[]]  # for each state those that reach it in one step without a fault
        self.transitions = 0

    def run(self) -> Result:
        model = self.model
        for number, state in enumerate(self.states):  # grows while we walk through it
            if what := model.broken(state):
                return self._result(Answer.BROKEN, what, number)
            for step in model.steps(state):
                self.transitions += 1
                reached = self._number(step.state, number)
                if not step.fault:
                    self.homewards[reached].append(number)
        stranded = self._first_stranded()
        if stranded is not None:
            return self._result(Answer.STRANDED, "no way home without a further fault", stranded)
        return self._result(Answer.HOLDS)

    def _number(self, state: S, parent: int) -> int:
        key = self.model.alike(state)
        number = self.numbers.get(key)
        if number is None:
            number = len(self.states)
            if number >= self.states_max:
                raise TooManyStates(f"more than {self.states_max:,} states")
            self.numbers[key] = number
            self.states.append(state)
            self.parents.append(parent)
            self.homewards.append([])
        return number

    def _first_stranded(self) -> int | None:
        """The nearest state from which no path without faults leads to a good one; None if there is none."""
        safe = bytearray(len(self.states))
        front = deque(number for number, state in enumerate(self.states) if self.model.good(state))
        for number in front:
            safe[number] = 1
        while front:
            for before in self.homewards[front.popleft()]:
                if not safe[before]:
                    safe[before] = 1
                    front.append(before)
        first = safe.find(0)
        return None if first < 0 else first

    def _result(self, verdict: Answer, what: str = "", number: int | None = None) -> Result:
        trace = [] if number is None else self._trace(number)
        return Result(verdict, len(self.states), self.transitions, time.perf_counter() - self.began, what, trace)

    def _trace(self, number: int) -> list[str]:
        """The labels from the start to this state, found again by walking: keeping each would cost more memory."""
        labels: list[str] = []
        while number:
            parent, key = self.parents[number], self.model.alike(self.states[number])
            steps = self.model.steps(self.states[parent])
            labels.append(next(step.label for step in steps if self.model.alike(step.state) == key))
            number = parent
        return labels[::-1]
