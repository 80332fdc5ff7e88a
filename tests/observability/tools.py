"""Prometheus's programs, from PATH or from the directory of tests/install_servers.sh."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


def tool(name: str) -> str:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = shutil.which(name) or shutil.which(str(cache / "gofleet/tools/usr/bin" / name))
    assert path, f"{name} is missing: run `bash tests/install_servers.sh`, or `just servers`"
    return path


def output_of(name: str, *words: str | Path, cwd: Path | None = None) -> tuple[int, str]:
    """Its exit code and its output."""
    done = subprocess.run([tool(name), *words], capture_output=True, text=True, cwd=cwd, check=False)
    return done.returncode, done.stdout + done.stderr
