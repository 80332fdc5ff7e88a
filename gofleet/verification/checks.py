"""What an invariant is made of: parts that each need certain sources and name whoever breaks it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import LiteralString

from gofleet.verification.findings import InvariantResult
from gofleet.verification.sources import Source, Sources

Run = Callable[[Sources, InvariantResult], Awaitable[None]]


@dataclass(frozen=True)
class Check:
    """A part of the invariant `of`. With `at_rest` it is true only when nothing is under way."""

    of: str
    needs: frozenset[Source]
    run: Run
    at_rest: bool = False


def check(of: str, *needs: Source, at_rest: bool = False) -> Callable[[Run], Check]:
    """Makes a function a part of an invariant."""

    def made(run: Run) -> Check:
        return Check(of, frozenset(needs), run, at_rest)

    return made


def no_rows(
    of: str,
    query: LiteralString,
    values: Callable[[Sources], Mapping[str, object]] = lambda _: {},
    *,
    at_rest: bool = False,
) -> Check:
    """A part that holds if the query finds nobody; its rows are (who, what is wrong)."""

    async def run(sources: Sources, finding: InvariantResult) -> None:
        async for subject, why in sources.rows(query, **values(sources)):
            finding.add(subject, why)

    return Check(of, frozenset({Source.POSTGRES}), run, at_rest)
