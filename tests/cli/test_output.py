"""Tables of the command line: what is wrapped, what is left out, and how times are written."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from gofleet.cli.orders import COLUMNS
from gofleet.cli.output import format_field, print_items

ID = "019f0c5e-7a2b-7c3d-9e4f-0123456789ab"
ORDER = {
    "id": ID,
    "status": "MANUAL_DISPATCH",
    "driver_id": "driver-of-a-long-name",
    "reason": "fleet_unavailable",
    "final_price": 110.0,
    "version": 2,
    "created_at": "2026-01-31T12:00:00.123456Z",
}


@pytest.mark.parametrize("columns", [20, 80, 100, 110, 140, 200])
def test_ids_and_times_stay_whole_in_a_narrow_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))

    print_items([ORDER], COLUMNS, json=False)

    output = capsys.readouterr().out
    shown = [title for title in COLUMNS.values() if title in output.splitlines()[1]]
    assert ID in output
    assert shown == list(COLUMNS.values())[: len(shown)]
    assert ("MANUAL_DISPATCH" in output) == ("status" in shown)
    assert (" d ago" in output) == ("created" in shown)
    assert ("left out" in output) == (shown != list(COLUMNS.values()))
    assert max(map(len, output.splitlines())) <= max(columns, len(ID) + 4)
    assert columns < 110 or "created" in shown


@pytest.mark.parametrize(
    ("seconds", "pattern"),
    [(60, r"6\d s ago"), (200, "3 min ago"), (8000, "2 h ago"), (200_000, "2 d ago"), (-4000, "in 66 min")],
)
def test_times_are_relative(seconds: float, pattern: str) -> None:
    at = datetime.now(UTC) - timedelta(seconds=seconds)

    assert re.fullmatch(pattern, format_field("created_at", at.isoformat()))
    assert re.fullmatch(f"recorded_at {pattern}", format_field("position", {"recorded_at": at.isoformat()}))


def test_a_time_of_an_event_is_written_to_the_second_and_other_texts_as_they_are() -> None:
    assert format_field("at", "2026-01-31T13:00:00.123456+01:00") == "2026-01-31 12:00:00Z"
    assert format_field("created_at", "no time\x1b") == "no time\N{REPLACEMENT CHARACTER}"
    assert format_field("detail", "2026-01-31T12:00:00Z") == "2026-01-31T12:00:00Z"
