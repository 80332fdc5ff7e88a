"""Commands as a person would type them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def gofleet(*words: str, environment: dict[str, str] | None = None, at: Path) -> subprocess.CompletedProcess[str]:
    """What the command printed and its exit code; `at` has no .env."""
    return subprocess.run(
        [sys.executable, "-m", "gofleet", *words],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=at,
        check=False,
    )


def three_lines(text: str) -> list[str]:
    return [line.split(":")[0].strip() for line in text.strip().splitlines()]
