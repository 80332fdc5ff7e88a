"""The outcome of trials as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.chaos.trial import Outcome

PAGE = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- chaos: written by `just chaos all --readme` -->", "<!-- chaos: end -->"
HEAD = "| fault | what happens | runs | orders | violations | seconds |\n| --- | --- | --- | --- | --- | --- |"


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown, one row for each fault, in the order in which they were tried first."""
    rows = [HEAD]
    for name in dict.fromkeys(outcome.fault for outcome in outcomes):
        of = [outcome for outcome in outcomes if outcome.fault == name]
        orders, broken = sum(o.orders for o in of), sum(len(o.violations) for o in of)
        rows.append(f"| {name} | {of[0].about} | {len(of)} | {orders} | {broken} | {sum(o.seconds for o in of):.0f} |")
    return "\n".join(rows)


def write_into_page(outcomes: Sequence[Outcome], page: Path = PAGE) -> None:
    """Replace what stands between the two markers; ValueError if they are not there."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{page} has no {BEGIN} ... {END}")
    page.write_text(f"{before}{BEGIN}\n\n{table(outcomes)}\n\n{END}{after}")
