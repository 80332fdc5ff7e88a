"""CPU is counted once, and for whom it was used."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

from tests.bench.accounting import TICK_MS, read, resident_mb

BUSY = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
BUSY_BELOW = f"""import subprocess, sys
subprocess.run([sys.executable, "-c", {BUSY!r}], input=b"")
print(flush=True)
input()"""


@contextmanager
def having(program: str) -> Generator[int]:
    """The pid of a process that has done its work and waits."""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process.pid


def test_what_a_process_used_is_its_own_even_if_another_tree_started_it() -> None:
    before = read({"us": [os.getpid()], "them": []})
    with having(BUSY) as pid:
        used = read({"us": [os.getpid()], "them": [pid]}).since(before)
        together = read({"us": [os.getpid()]}).since(before)

    assert used["them"] >= 300 - TICK_MS
    assert used["us"] < used["them"]
    assert together["us"] >= used["us"] + used["them"] - TICK_MS
    assert used["elsewhere"] >= 0


def test_what_has_ended_counts_for_those_who_waited_for_it() -> None:
    with having(BUSY_BELOW) as pid:
        assert read({"them": [pid]}).trees["them"] >= 300 - TICK_MS


def test_memory_is_told_of_processes_that_run() -> None:
    assert resident_mb([os.getpid()]) > 5
    with having("print(flush=True)\ninput()") as pid:
        pass
    assert resident_mb([pid]) == 0
