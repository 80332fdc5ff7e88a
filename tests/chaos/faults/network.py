"""F9: every edge is cut, silenced in one direction and in both, starved, one after the other."""

from __future__ import annotations

import asyncio

from tests.chaos.proxy import Edge
from tests.chaos.trial import Trial, fault

BAD_SECONDS = 5.0
EDGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("client", ("api",)),
    ("postgres", ("api",)),
    ("fleet", ("api", "worker")),
    ("postgres", ("relay",)),
    ("rabbit", ("relay",)),
    ("postgres", ("worker",)),
    ("rabbit", ("worker",)),
    ("redis", ("worker",)),
    ("postgres", ("fleet",)),
    ("rabbit", ("fleet",)),
    ("redis", ("fleet",)),
)
"""A server and its clients."""
KINDS: tuple[str, ...] = ("cut", "reset", "half open", "up only", "down only", "starved")


@fault("F9", "each edge cut, reset, half open, deaf in one direction, starved")
async def edges_broken(trial: Trial) -> None:
    chosen = list(EDGES) if trial.background is None else [trial.dice.choice(EDGES)]
    for number, (server, roles) in enumerate(chosen):
        kinds = [KINDS[(number + turn) % len(KINDS)] for turn in (0, 2, 4)]
        async with trial.load(orders=36, rate=6):
            for kind in kinds if trial.background is None else [trial.dice.choice(KINDS)]:
                await asyncio.sleep(0.5)
                edges = trial.world.edges(server, *roles)
                for edge in edges:
                    _break(edge, kind)
                await asyncio.sleep(BAD_SECONDS / len(kinds) if kind in ("cut", "reset") else BAD_SECONDS)
                for edge in edges:
                    await edge.heal()
        trial.note(f"{', '.join(roles)} > {server}: {', '.join(kinds)}")


def _break(edge: Edge, kind: str) -> None:
    match kind:
        case "cut":
            edge.cut()
        case "reset":
            edge.reset()
        case "up only":
            edge.silence(down=True, up=False)
        case "down only":
            edge.silence(up=True, down=False)
        case "starved":
            edge.up.bytes_per_second = edge.down.bytes_per_second = 400.0
        case _:
            edge.silence()
