"""The generated gRPC code is what `just proto` makes of proto/fleet.proto today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gofleet" / "adapters" / "grpc" / "pb"


def test_the_generated_code_is_up_to_date(tmp_path: Path) -> None:
    (tmp_path / "pb").mkdir()
    subprocess.run(
        [
            sys.executable,
            *("-m", "grpc_tools.protoc", "-I", "proto"),
            # By its path: a test may run without the environment's scripts on PATH.
            f"--plugin=protoc-gen-python_betterproto={Path(sys.executable).parent / 'protoc-gen-python_betterproto'}",
            f"--python_betterproto_out={tmp_path}",
            *("--include_imports", f"--descriptor_set_out={tmp_path / 'pb' / 'fleet.binpb'}"),
            "fleet.proto",
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )

    for generated in ("__init__.py", "fleet.binpb"):
        assert (tmp_path / "pb" / generated).read_bytes() == (PACKAGE / generated).read_bytes(), "run `just proto`"


def test_the_generated_code_is_imported_without_warnings() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", "import gofleet.adapters.grpc.pb"], cwd=ROOT, check=True)
