"""Valkey and Redis servers started as in compose.yaml: by config/valkey/start.sh with its ACL."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from gofleet.embedded import Valkey
from gofleet.embedded.child import Child
from gofleet.embedded.resources import exchange
from gofleet.embedded.steps import Steps
from tests.rights.files import ROOT

START = ROOT / "config/valkey/start.sh"
PASSWORDS = {
    "ADMIN_PASSWORD": "operators",
    "API_PASSWORD": "with spaces, a tab\t and \\backslash\\",
    "WORKER_PASSWORD": """q"uo'te & $HOME `x` #>< {"a": 1}""",
    "FLEET_PASSWORD": "Größe 🚚 %s %%",
}


def start(
    file: Path, environment: Mapping[str, str], *command: str, script: Path = START
) -> subprocess.CompletedProcess[str]:
    """The script as the container runs it."""
    return subprocess.run(
        ["sh", script, file, *command],
        env={"PATH": os.environ["PATH"], **environment},
        check=False,
        capture_output=True,
        text=True,
    )


class ContainerValkey(Valkey):
    """A server with an ACL file and the passwords of PASSWORDS."""

    def __init__(self, acl: Path, binary: Path | None) -> None:
        super().__init__(durable=False, binary=binary)
        self._acl = acl

    def _prepare(self) -> Steps:
        yield from super()._prepare()
        program = self._directory.path / "server.sh"
        program.write_text(f'#!/bin/sh\nexec {self._binary} "$@" --aclfile {self._acl}\n')
        program.chmod(0o755)
        self._binary = program

    def _is_ready(self, process: Child) -> bool:
        question = f"AUTH {PASSWORDS['ADMIN_PASSWORD']}\r\nPING\r\nINFO server\r\nQUIT\r\n".encode()
        answer = exchange(self._ports.chosen[0], question, bytes_min=1_000_000)
        return answer.startswith(b"+OK\r\n+PONG") and b"process_id:%d\r" % process.pid in answer
