"""Watching processes that may or may not be ours to wait for."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-W", "error", "-m", "tests.embedded.program"]


@dataclass(frozen=True)
class Program:
    """A running tests.embedded.program, once all its servers answer."""

    process: subprocess.Popen[str]
    uid: int
    pids: dict[str, list[int]]

    def family(self) -> set[int]:
        """The processes that it started, and their descendants."""
        found = {pid for pids in self.pids.values() for pid in pids}
        parents = parents_by_pid()
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found


@contextmanager
def a_program(directory: Path | str, *names: str, prefix: tuple[str, ...] = ()) -> Generator[Program]:
    """Start a program that keeps the named servers below `directory`; kill -9 it after the block."""
    command = [*prefix, *PROGRAM, str(directory), *names]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            started = json.loads(process.stdout.readline())
            yield Program(process, started["uid"], started["pids"])
        finally:
            process.send_signal(signal.SIGKILL)
            _, errors = process.communicate()
            sys.stderr.write(errors)


def parents_by_pid() -> dict[int, int]:
    """The living processes of this machine (zombies do not live), each with its parent."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], check=True, capture_output=True, text=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}


def alive(pids: set[int]) -> set[int]:
    """Those of `pids` that still run."""
    return pids & parents_by_pid().keys()


def eventually(condition: Callable[[], bool], *, seconds: float = 15.0) -> None:
    """Return as soon as `condition()` holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds:g} s"
        time.sleep(0.02)
