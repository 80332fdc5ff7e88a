"""F1 to F4: a role dies, or sleeps for too long, at each of the points where that hurts most."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.bounds import LEASE_SECONDS
from tests.chaos.faults.lost_workers import killed_in_flight
from tests.chaos.trial import Trial, fault

API_POINTS = ("api.before_commit", "api.after_commit")
RELAY_POINTS = ("relay.after_claim", "relay.after_publish", "relay.after_settle", "relay.after_commit")
WORKER_POINTS = (
    "worker.received",
    "worker.after_lease",
    "worker.after_search",
    "worker.before_commit",
    "worker.after_commit",
    "worker.before_done",
    "worker.before_ack",
    "worker.before_postpone",
    "worker.after_postpone",
)
ZOMBIE_SECONDS = 1.5 * LEASE_SECONDS
HIT_SECONDS = 10.0
MORE_LOADS = ("nobody", "deliver", "nobody", "deliver")
"""For points that chance has missed: orders that are postponed, and orders that are not."""
AT_ONCE = 3
"""Armed processes side by side: each costs seconds of CPU to start."""


@fault("F1", "api killed before and after the commit", in_ci=True)
async def api_killed(trial: Trial) -> None:
    await _at_points(trial, "api", API_POINTS, "kill")


@fault("F2", "relay killed at each of its points", in_ci=True)
async def relay_killed(trial: Trial) -> None:
    await _at_points(trial, "relay", RELAY_POINTS, "kill")


@fault(
    "F3",
    "worker killed at each of its points, and with 20 orders in flight: they wait < 5 s",
    in_ci=True,
    any_broker=True,
)
async def worker_killed(trial: Trial) -> None:
    points = WORKER_POINTS if trial.world.broker == "rabbitmq" else WORKER_POINTS[:-1]  # one step: it sends no copy
    await _at_points(trial, "worker", points, "kill")
    if trial.background is None:
        await killed_in_flight(trial)


@fault("F4", "worker asleep for longer than its lease, then awake again, at each of its points", in_ci=True)
async def worker_zombie(trial: Trial) -> None:
    await _at_points(trial, "worker", WORKER_POINTS, f"stop:{ZOMBIE_SECONDS:g}s")


async def _at_points(trial: Trial, role: str, points: Sequence[str], action: str) -> None:
    for first in range(0, len(points), AT_ONCE):
        some = points[first : first + AT_ONCE]
        armed = await trial.armed(role, *(f"{point}={action}@{trial.dice.randint(1, 2)}" for point in some))
        async with trial.load(orders=14 * len(some) + 10):
            hit = await trial.all_hit(armed, HIT_SECONDS)
        for ending in MORE_LOADS:
            if hit:
                break
            async with trial.load(orders=16, ending=ending):
                hit = await trial.all_hit(armed, HIT_SECONDS)
        trial.check_all_hit(armed)
        await trial.dismiss(armed)
