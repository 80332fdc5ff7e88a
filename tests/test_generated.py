"""The generated gRPC code; that it is up to date is seen in tests/api_contracts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_generated_code_is_imported_without_warnings() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", "import gofleet.adapters.grpc.pb"], cwd=ROOT, check=True)
