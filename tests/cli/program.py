"""Runs the program as a subprocess."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def gofleet(*words: str, environment: dict[str, str] | None = None, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Output and exit code of a command; `cwd` contains no .env."""
    return subprocess.run(
        [sys.executable, "-m", "gofleet", *words],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        check=False,
    )


def line_labels(text: str) -> list[str]:
    return [line.split(":")[0].strip() for line in text.strip().splitlines()]
