"""The table of outcomes, and that no fault of the matrix is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import faults  # noqa: F401  # pyright: ignore[reportUnusedImport]  registers them
from tests.chaos.report import BEGIN, END, PAGE, table, write_into_page
from tests.chaos.trial import FAULTS, Outcome

TWICE = [
    Outcome("F1", "api killed", "f1-1-1", 40, [], [], 10.0),
    Outcome("F2", "relay killed", "f2-1-2", 20, ["I7 ..."], [], 5.0),
    Outcome("F1", "api killed", "f1-2-3", 41, [], [], 11.4),
]


def test_every_fault_of_the_matrix_is_there() -> None:
    assert sorted(FAULTS, key=lambda name: int(name[1:])) == [f"F{number}" for number in range(1, 23)]


def test_runs_of_a_fault_are_added_up() -> None:
    assert table(TWICE).splitlines()[2:] == [
        "| F1 | api killed | 2 | 81 | 0 | 21 |",
        "| F2 | relay killed | 1 | 20 | 1 | 5 |",
    ]


def test_the_readme_has_a_place_for_the_table_and_keeps_the_rest(tmp_path: Path) -> None:
    text = PAGE.read_text()
    copy = tmp_path / "README.md"
    copy.write_text(text)

    write_into_page(TWICE, copy)

    written = copy.read_text()
    assert table(TWICE) in written
    assert written.partition(BEGIN)[0] == text.partition(BEGIN)[0]
    assert written.partition(END)[2] == text.partition(END)[2]


def test_a_readme_without_a_place_for_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing here")
    with pytest.raises(ValueError, match="has no"):
        write_into_page(TWICE, tmp_path / "README.md")
