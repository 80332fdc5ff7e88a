"""The bench with a second or so per case: it works. The speed is not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.__main__ import SMOKE

ROOT = Path(__file__).parents[2]
SECONDS = 600


@pytest.mark.timeout(SECONDS)
def test_every_case_is_measured_and_right(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench", "--smoke", "--out", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["failures"] == {}
    assert {figure["case"] for figure in found["figures"]} == set(SMOKE)
    assert all(figure["values"] for figure in found["figures"])
    assert (tmp_path / "report.svg").stat().st_size > 0
    assert found["machine"]["commit"]
