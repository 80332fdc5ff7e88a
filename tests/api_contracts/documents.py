"""The contracts as committed, and as generated from the code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gofleet.adapters.http.app import openapi_document
from gofleet.adapters.rabbit.asyncapi import asyncapi_document
from tests.api_contracts.asyncapi import asyncapi_breaks
from tests.api_contracts.openapi import openapi_breaks
from tests.api_contracts.proto import proto_breaks

ROOT = Path(__file__).resolve().parents[2]
PB = "gofleet/adapters/grpc/pb"


@dataclass(frozen=True)
class Contract:
    """One contract file; `breaks` lists the breaking changes between two versions."""

    path: str
    new: bytes
    breaks: Callable[[bytes, bytes], Iterator[str]]

    def committed(self) -> bytes:
        """The file in the working tree; empty if it does not exist."""
        file = ROOT / self.path
        return file.read_bytes() if file.is_file() else b""


def contracts() -> list[Contract]:
    generated = generated_code()
    return [
        Contract("proto/openapi.json", pretty(openapi_document()), _of_json(openapi_breaks)),
        Contract("proto/asyncapi.json", pretty(asyncapi_document()), _of_json(asyncapi_breaks)),
        Contract(f"{PB}/fleet.binpb", generated["fleet.binpb"], proto_breaks),
        Contract(f"{PB}/__init__.py", generated["__init__.py"], _nothing),
    ]


def pretty(document: dict[str, Any]) -> bytes:
    """A canonical form with one value a line, which keeps differences small."""
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def generated_code() -> dict[str, bytes]:
    """The output of protoc for proto/fleet.proto, by file name."""
    # By its path, because the environment's scripts may not be on PATH.
    plugin = Path(sys.executable).parent / "protoc-gen-python_betterproto"
    with TemporaryDirectory() as directory:
        package = Path(directory) / "pb"
        package.mkdir()
        words = [
            *(sys.executable, "-m", "grpc_tools.protoc", "-I", "proto"),
            *(f"--plugin=protoc-gen-python_betterproto={plugin}", f"--python_betterproto_out={directory}"),
            *("--include_imports", f"--descriptor_set_out={package / 'fleet.binpb'}", "fleet.proto"),
        ]
        subprocess.run(words, cwd=ROOT, check=True, capture_output=True, timeout=60)
        return {name: (package / name).read_bytes() for name in ("__init__.py", "fleet.binpb")}


def _of_json(breaks: Callable[[Any, Any], Iterator[str]]) -> Callable[[bytes, bytes], Iterator[str]]:
    return lambda old, new: breaks(json.loads(old), json.loads(new))


def _nothing(old: bytes, new: bytes) -> Iterator[str]:
    return iter(())
