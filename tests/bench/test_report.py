"""Figures become a report that a person and a program can read, and that says what was missed."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench.__main__ import CASES, main
from tests.bench.figures import Aim, Figure, percentile, ratio
from tests.bench.plot import draw
from tests.bench.readme import (
    BEGIN,
    END,
    FRONT_PAGE,
    HEADLINES,
    HEADLINES_BEGIN,
    HEADLINES_END,
    MACHINE,
    PICTURE,
    REPORT_PAGE,
    ROOT,
    headlines,
    write_into_pages,
)
from tests.bench.report import Report, summary

OURS = Figure("ingest", "ours", "orders/s", (10.0, 30.0, 20.0), ceiling="theirs")
THEIRS = Figure("ingest", "theirs", "orders/s", (20.0, 40.0, 50.0))
PART = ratio(OURS, THEIRS, "of theirs", Aim("at least 60 %", least=0.6))
QUICK = Figure("ingest", "p99", "ms", (90.0,), better="lower", aim=Aim("at most 100 ms", most=100))


def a_report() -> Report:
    machine = {"processors": "2 of some kind", "speed": "8 ms"}
    return Report(machine, 3, [OURS, THEIRS, PART, QUICK], {"ingest": 3.0, "drain": 1.0}, {"drain": "why"})


def test_a_ratio_is_of_what_was_measured_side_by_side() -> None:
    assert PART.values == (0.5, 0.75, 0.4)
    assert PART.median == 0.5


def test_an_aim_is_kept_or_missed_by_the_median() -> None:
    assert (OURS.kept, PART.kept, QUICK.kept) == (None, False, True)
    assert summary(a_report().figures) == "1 of 2 targets met; missed: ingest: of theirs"


@pytest.mark.parametrize(("percent", "found"), [(0, 1), (1, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)])
def test_a_percentile_is_one_of_the_values(percent: float, found: float) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == found


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def test_the_report_tells_ratios_to_ceilings_what_was_missed_and_what_failed() -> None:
    markdown = a_report().markdown()

    assert "| ours | 20 | orders/s | 100% | 0.50 |" in markdown
    assert "| ingest | of theirs | at least 60 % | 0.5 | **missed** |" in markdown
    assert "| ingest | p99 | at most 100 ms | 90 ms | met |" in markdown
    assert "**Failed**: why" in markdown


def test_a_program_reads_every_repetition(tmp_path: Path) -> None:
    a_report().write(tmp_path)
    read = json.loads((tmp_path / "report.json").read_text())

    assert read["figures"][0]["values"] == [10.0, 30.0, 20.0]
    assert read["figures"][0]["of_ceiling"] == 0.5
    assert read["figures"][2]["kept"] is False
    assert read["failures"] == {"drain": "why"}


def test_the_picture_names_every_bar(tmp_path: Path) -> None:
    draw(a_report(), tmp_path / "report.svg")

    picture = ElementTree.parse(tmp_path / "report.svg")  # noqa: S314  our own
    assert picture.getroot().tag.endswith("svg")


def test_both_pages_get_the_report_between_their_marks_again_and_again(tmp_path: Path) -> None:
    (tmp_path / "tests/bench").mkdir(parents=True)
    page, front = tmp_path / REPORT_PAGE, tmp_path / FRONT_PAGE
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    front.write_text(f"before\n{HEADLINES_BEGIN}\nold\n{HEADLINES_END}\nafter\n")

    write_into_pages(a_report(), tmp_path)
    once = page.read_text(), front.read_text()
    write_into_pages(a_report(), tmp_path)

    assert (page.read_text(), front.read_text()) == once
    assert once[0].startswith(f"before\n{BEGIN}\n\n| case |")
    assert once[0].endswith(f"</details>\n\n{END}\nafter\n")
    assert once[1].startswith(f"before\n{HEADLINES_BEGIN}\n\n| case |")
    assert "\n- processors: 2 of some kind\n- speed: 8 ms\n" in once[1]
    assert "\nold\n" not in "".join(once)
    assert (tmp_path / PICTURE).exists()


def test_a_page_without_the_marks_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tests/bench").mkdir(parents=True)
    (tmp_path / REPORT_PAGE).write_text("all of it")

    with pytest.raises(ValueError, match="bench: end"):
        write_into_pages(a_report(), tmp_path)
    assert (tmp_path / REPORT_PAGE).read_text() == "all of it"


def test_the_readme_shows_rows_of_the_report() -> None:
    page, front = ((ROOT / path).read_text(encoding="utf-8") for path in (REPORT_PAGE, FRONT_PAGE))
    section = page.partition(f"{BEGIN}\n\n")[2].partition(END)[0]
    shown = front.partition(f"{HEADLINES_BEGIN}\n\n")[2].partition(f"\n{HEADLINES_END}")[0]

    assert shown == headlines(section)
    assert shown.count("\n| ") == 1 + len(HEADLINES)
    assert shown.count("\n- ") == len(MACHINE)


def test_an_unknown_case_is_an_error_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["no-such-case"])

    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert all(case in error for case in CASES)
