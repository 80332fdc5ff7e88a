"""Places where a process can be told to die, freeze or fail, to prove that nothing is lost there.

Armed by the setting GOFLEET_FAILPOINTS, such as `worker.after_lease=kill@3;relay.after_publish=stop:5s`: what happens
(`kill` = SIGKILL, `stop:<n>s` = SIGSTOP and after n seconds SIGCONT, `raise` = an exception nobody foresaw) and at
which passing, the first if none is said. Refused in production. Unarmed, a point costs one look at an empty dict.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass

POINTS: dict[str, str] = {
    "api.before_commit": "the request was understood, nothing is stored",
    "api.after_commit": "the order is stored, the client has not heard of it",
    "relay.after_claim": "rows are claimed, nothing is published",
    "relay.after_publish": "the broker has confirmed, nothing is marked",
    "relay.after_settle": "rows are marked, the transaction is open",
    "relay.after_commit": "the batch is committed",
    "worker.received": "a message is in hand",
    "worker.after_lease": "the lease is ours, nothing was asked",
    "worker.after_search": "a driver is claimed, nothing is stored",
    "worker.before_commit": "the order is about to be saved",
    "worker.after_commit": "the order is saved, the lease is not done",
    "worker.before_done": "the handler has finished, the lease is not marked done",
    "worker.before_ack": "all is done, the message is not acknowledged",
    "worker.before_postpone": "the message is to come later, its copy is not sent",
    "worker.after_postpone": "the copy is sent, the original is not acknowledged",
    "fleet.after_claim": "a driver is claimed, the caller has not heard of it",
    "fleet.after_follow": "Redis knows of the order, the message is not acknowledged",
    "sweeper.after_announce": "an order is announced again, nobody was woken",
}
"""Name -> what is so when it is passed."""

_SPEC = re.compile(
    r"(?P<point>[a-z_.]+)=(?P<action>kill|raise|stop:(?P<seconds>\d+(\.\d+)?)s)(@(?P<passing>[1-9]\d*))?"
)
_SELF_CONTINUE = "import os,signal,sys,time; time.sleep(float(sys.argv[2])); os.kill(int(sys.argv[1]), signal.SIGCONT)"


class WrongFailpoint(ValueError):
    """Not a failpoint that exists, or not an action."""


class FailpointReached(Exception):
    """What `raise` raises: an exception that no code of ours expects."""


@dataclass
class _Armed:
    action: str
    seconds: float
    passings_left: int


_armed: dict[str, _Armed] = {}


def arm(spec: str) -> None:
    """Replace what is armed by `spec`; an empty one disarms everything. `WrongFailpoint` changes nothing."""
    armed = parsed(spec)
    _armed.clear()
    _armed.update(armed)


def parsed(spec: str) -> dict[str, _Armed]:
    """What `spec` would arm, by point; `WrongFailpoint`."""
    return dict(_parsed(part) for part in spec.split(";") if part.strip())


def hit(point: str) -> None:
    """We are at this point."""
    if _armed:
        _hit(point)


def _parsed(part: str) -> tuple[str, _Armed]:
    found = _SPEC.fullmatch(part.strip())
    if found is None:
        raise WrongFailpoint(f"{part.strip()!r} is not <point>=kill|raise|stop:<n>s[@<passing>]")
    if found["point"] not in POINTS:
        raise WrongFailpoint(f"there is no failpoint {found['point']}; there are {', '.join(POINTS)}")
    return found["point"], _Armed(found["action"], float(found["seconds"] or 0), int(found["passing"] or 1))


def _hit(point: str) -> None:
    armed = _armed.get(point)
    if armed is None:
        return
    armed.passings_left -= 1
    if armed.passings_left:
        return
    del _armed[point]  # once: whoever needs it again starts again
    sys.stderr.write(f"failpoint {point} {armed.action}\n")
    sys.stderr.flush()
    if armed.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif armed.action == "raise":
        raise FailpointReached(point)
    else:
        _stop(armed.seconds)


def _stop(seconds: float) -> None:
    """Freeze this whole process; a child of its own session wakes it again."""
    words = [sys.executable, "-I", "-S", "-c", _SELF_CONTINUE, str(os.getpid()), str(seconds)]
    with subprocess.Popen(words, start_new_session=True):  # noqa: S603  our own words
        os.kill(os.getpid(), signal.SIGSTOP)
