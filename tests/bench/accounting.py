"""What a process and everything below it has used: CPU and memory, as /proc tells them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
ELSEWHERE = "elsewhere"
"""CPU used outside of the trees, by the kernel and other processes: a measure of the noise."""

Roots = Mapping[str, Sequence[int]]
"""The first processes of each tree by what it is called, such as a role or a service. What was started by a process of
another tree, and has a name here, is not counted there."""


@dataclass(frozen=True)
class Reading:
    """CPU milliseconds since the start: each tree's, and the whole machine's."""

    trees: Mapping[str, float]
    machine: float

    def since(self, before: Reading) -> dict[str, float]:
        """What was used between the two, ELSEWHERE too."""
        used = {name: ms - before.trees.get(name, 0.0) for name, ms in self.trees.items()}
        return used | {ELSEWHERE: max(0.0, self.machine - before.machine - sum(used.values()))}


def read(roots: Roots) -> Reading:
    """Without what has ended already, unless a process of the tree waited for it."""
    below = _children()
    for pids in below.values():
        pids[:] = [pid for pid in pids if all(pid not in named for named in roots.values())]
    trees = {name: sum(_cpu_ms(pid) for root in pids for pid in _tree(root, below)) for name, pids in roots.items()}
    # user, nice, system, idle, iowait, irq, softirq, stolen: everything but waiting, and what the host took away.
    user, nice, system, _, _, irq, soft = (int(word) for word in (PROC / "stat").read_text().split()[1:8])
    return Reading(trees, (user + nice + system + irq + soft) * TICK_MS)


def switches(roots: Roots) -> dict[str, float]:
    """Context switches since the start of each tree, of all threads that live."""
    below = _children()
    return {name: sum(_switches(pid) for root in pids for pid in _tree(root, below)) for name, pids in roots.items()}


def resident_mb(pids: Sequence[int]) -> float:
    """Memory that the trees hold now. Pages that several processes share count once for each, so it is meant for
    roles, which are one process each."""
    below = _children()
    pages = sum(_pages(pid) for root in pids for pid in _tree(root, below))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _children() -> dict[int, list[int]]:
    below: dict[int, list[int]] = {}
    for place in PROC.iterdir():
        if place.name.isdecimal() and (words := _stat(int(place.name))):
            below.setdefault(int(words[1]), []).append(int(place.name))
    return below


def _tree(root: int, below: Mapping[int, Sequence[int]]) -> list[int]:
    found = [root]
    for pid in found:  # grows meanwhile
        found += below.get(pid, ())
    return found


def _cpu_ms(pid: int) -> float:
    """Its own and that of the children it has waited for: PostgreSQL's sessions end, and are their parent's then."""
    return sum(int(word) for word in _stat(pid)[11:15]) * TICK_MS


def _switches(pid: int) -> float:
    count = 0
    for status in (PROC / str(pid) / "task").glob("*/status"):
        with suppress(OSError):
            lines = status.read_text().splitlines()
            count += sum(int(line.split()[1]) for line in lines if "_ctxt_switches:" in line)
    return count


def _pages(pid: int) -> int:
    with suppress(OSError):
        return int((PROC / str(pid) / "statm").read_text().split()[1])
    return 0


def _stat(pid: int) -> list[str]:
    """The words after the name, which may contain anything; none if the process is gone."""
    with suppress(OSError):
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return []
