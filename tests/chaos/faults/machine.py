"""F17, F20: the disk is full, clocks are wrong."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.chaos.member import Member
from tests.chaos.rig import a_world
from tests.chaos.servers import all_servers
from tests.chaos.trial import Trial, a_stage, fault, judged

DISK_MB = 320
FULL_SECONDS = 8.0
FAKETIME = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")
SHIFTS = {"worker": "+1h", "relay": "-1h", "api": "+1d", "fleet": "-1d"}


@fault("F17", "the disk of PostgreSQL and RabbitMQ is full for 8 s", own_world=True, nemesis=False)
async def disk_full(trial: Trial) -> None:
    if os.geteuid() != 0:
        trial.note("not tried: only root may mount a small disk")
        return
    async with _a_small_disk() as disk, all_servers(disk) as servers:
        place = trial.world.place / "disk"
        roles = ("fleet", "relay", "worker", "api")
        async with a_world(servers, place, roles) as world, a_stage(world) as stage:
            inner = Trial(trial.name, stage, trial.dice, trial.seed)
            await _fill_and_empty(inner, disk)
            trial.complaints += [*inner.complaints, *await judged(world, trial.notes)]
            trial.notes += inner.notes
            trial.orders += inner.orders


async def _fill_and_empty(trial: Trial, disk: Path) -> None:
    ballast = disk / "ballast"
    async with trial.load(orders=80, rate=6):
        await asyncio.sleep(2)
        await asyncio.to_thread(_fill, ballast)
        trial.note(f"{shutil.disk_usage(disk).free} bytes free for {FULL_SECONDS:g} s")
        await asyncio.sleep(FULL_SECONDS)
        ballast.unlink()
        # Quorum queues that met a full disk refuse everything until their node is started anew; an operator does that.
        rabbit = trial.world.servers.rabbit
        rabbit.kill()
        await rabbit.start()
        await trial.world.heal()


def _fill(ballast: Path) -> None:
    chunk = b"\0" * 1_000_000
    with ballast.open("wb", buffering=0) as out:
        for size in (len(chunk), 4096):
            try:
                while out.write(chunk[:size]):
                    pass
            except OSError:
                continue


@asynccontextmanager
async def _a_small_disk() -> AsyncGenerator[Path]:
    disk = Path(tempfile.mkdtemp(prefix="gofleet-disk-"))
    await _run("mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0755", "gofleet-chaos", str(disk))
    try:
        yield disk
    finally:
        await _run("umount", "-l", str(disk))
        disk.rmdir()


async def _run(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(*words)
    code = await process.wait()
    assert code == 0, f"{' '.join(words)} ended with {code}"


@fault("F20", "the clocks of a worker, a relay, an api and a fleet are wrong by an hour or a day", nemesis=False)
async def clocks_wrong(trial: Trial) -> None:
    library = _faketime()
    if library is None:
        trial.check(False, "libfaketime is missing: apt-get install --no-install-recommends faketime")
        return
    regular = trial.world.of(*SHIFTS)
    started = [
        await trial.world.add(
            role, wait=False, LD_PRELOAD=str(library), FAKETIME=shift, FAKETIME_DONT_FAKE_MONOTONIC="1",
            DONT_FAKE_MONOTONIC="1",
        )
        for role, shift in SHIFTS.items()
    ]  # fmt: skip
    await asyncio.gather(*(member.ready() for member in started))
    async with trial.load(orders=50, rate=10):
        pass
    # Without other processes, so that the wrong clocks decide everything.
    async with _asleep(trial, regular), trial.load(orders=40, rate=10, heal=False):
        pass
    for member in started:
        trial.check(await trial.world.remove(member) == 0, f"{member.name} did not end in order")


@asynccontextmanager
async def _asleep(trial: Trial, members: Sequence[Member]) -> AsyncGenerator[None]:
    """Frozen during the block, and without traffic: cheaper than to stop and start them all."""
    for member in members:
        trial.world.members.pop(member.name)
        member.send_signal(signal.SIGSTOP)
    for edge in trial.world.edges("fleet", "worker", "api"):
        edge.reset()  # clients of a frozen fleet reconnect to a running one
    try:
        yield
    finally:
        for member in members:
            trial.world.members[member.name] = member
            member.send_signal(signal.SIGCONT)


def _faketime() -> Path | None:
    found = (path for place in FAKETIME for path in sorted(Path("/").glob(place[1:])))
    return next(found, None)
