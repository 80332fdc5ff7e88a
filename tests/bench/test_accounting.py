"""CPU time is counted once, and for the right process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

from tests.bench.accounting import TICK_MS, read, resident_mb, switches

BUSY = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
BUSY_BELOW = f"""import subprocess, sys
subprocess.run([sys.executable, "-c", {BUSY!r}], input=b"")
print(flush=True)
input()"""

STARTING = f"""import subprocess, sys
pipe = subprocess.PIPE
busy = subprocess.Popen([sys.executable, "-c", {BUSY!r}], stdin=pipe, stdout=pipe)
busy.stdout.readline()
print(busy.pid, flush=True)
input()"""


@contextmanager
def saying(program: str) -> Generator[tuple[int, str]]:
    """The pid of a process that has done its work and waits, and what it output."""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield process.pid, process.stdout.readline().decode()


@contextmanager
def having(program: str) -> Generator[int]:
    with saying(program) as (pid, _):
        yield pid


def test_what_a_process_used_is_its_own_even_if_another_tree_started_it() -> None:
    with saying(STARTING) as (us, output):
        used = read({"us": [us], "them": [int(output)]}).trees
        together = read({"us": [us]}).trees

    assert used["them"] >= 300 - TICK_MS
    assert used["us"] < used["them"]
    assert together["us"] >= used["us"] + used["them"] - TICK_MS


def test_what_has_ended_counts_for_those_who_waited_for_it() -> None:
    with having(BUSY_BELOW) as pid:
        assert read({"them": [pid]}).trees["them"] >= 300 - TICK_MS


def test_memory_is_reported_of_running_processes() -> None:
    assert resident_mb([os.getpid()]) > 5
    with having("print(flush=True)\ninput()") as pid:
        pass
    assert resident_mb([pid]) == 0


def test_context_switches_are_counted_for_their_tree() -> None:
    waiting = "import time\nfor _ in range(50): time.sleep(0.001)\nprint(flush=True)\ninput()"
    with having(waiting) as pid:
        found = switches({"them": [pid], "none": []})

    assert found["them"] >= 50
    assert found["none"] == 0
