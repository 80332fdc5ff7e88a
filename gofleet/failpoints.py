"""Failpoints: named places in the code where a test makes the process crash, freeze or fail.

Armed by the setting GOFLEET_FAILPOINTS, such as `worker.after_lease=kill@3;relay.after_publish=stop:5s`: an action
(`kill` = SIGKILL, `stop:<n>s` = SIGSTOP and SIGCONT after n seconds, `raise` = an unexpected exception) and the number
of the pass at which it happens, by default the first. Refused in production. Unarmed, a failpoint costs one look-up in
an empty dict.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass

POINTS: dict[str, str] = {
    "api.before_commit": "the request is valid, nothing is stored",
    "api.after_commit": "the order is stored, the client has no response",
    "relay.after_claim": "rows are claimed, nothing is published",
    "relay.after_publish": "the broker has confirmed, nothing is marked",
    "relay.after_settle": "rows are marked, the transaction is open",
    "relay.after_commit": "the batch is committed",
    "worker.received": "a message is in flight",
    "worker.after_lease": "the lease is acquired, no search was made",
    "worker.after_search": "a driver is claimed, nothing is stored",
    "worker.before_commit": "the order is about to be saved",
    "worker.after_commit": "the order is saved, the lease is not done",
    "worker.before_done": "the handler has finished, the lease is not marked done",
    "worker.before_ack": "the message is handled and not acknowledged",
    "worker.before_postpone": "the message is to be retried later, its copy is not sent",
    "worker.after_postpone": "the copy is sent, the original is not acknowledged",
    "fleet.after_claim": "a driver is claimed, the caller has no response",
    "fleet.after_follow": "Redis is updated, the message is not acknowledged",
    "sweeper.after_announce": "an order is re-published to the outbox, no relay was notified",
}
"""Name -> state of the system when it is passed."""

_SPEC = re.compile(r"(?P<point>[a-z_.]+)=(?P<action>kill|raise|stop:(?P<seconds>\d+(\.\d+)?)s)(@(?P<number>[1-9]\d*))?")
_SELF_CONTINUE = "import os,signal,sys,time; time.sleep(float(sys.argv[2])); os.kill(int(sys.argv[1]), signal.SIGCONT)"


class WrongFailpoint(ValueError):
    """Unknown failpoint or action."""


class FailpointReached(Exception):
    """Exception of the action `raise`, which no code expects."""


@dataclass
class _Armed:
    action: str
    seconds: float
    passes_left: int


_armed: dict[str, _Armed] = {}


def arm(spec: str) -> None:
    """Arm the failpoints of `spec` instead of the present ones; empty = none. `WrongFailpoint`: nothing is changed."""
    armed = parsed(spec)
    _armed.clear()
    _armed.update(armed)


def parsed(spec: str) -> dict[str, _Armed]:
    """The failpoints of `spec` by name; `WrongFailpoint`."""
    return dict(_parsed(part) for part in spec.split(";") if part.strip())


def hit(point: str) -> None:
    """Pass the failpoint `point`: run its action if it is armed."""
    if _armed:
        _hit(point)


def _parsed(part: str) -> tuple[str, _Armed]:
    match = _SPEC.fullmatch(part.strip())
    if match is None:
        raise WrongFailpoint(f"{part.strip()!r} is not <point>=kill|raise|stop:<n>s[@<pass>]")
    if match["point"] not in POINTS:
        raise WrongFailpoint(f"there is no failpoint {match['point']}; there are {', '.join(POINTS)}")
    return match["point"], _Armed(match["action"], float(match["seconds"] or 0), int(match["number"] or 1))


def _hit(point: str) -> None:
    armed = _armed.get(point)
    if armed is None:
        return
    armed.passes_left -= 1
    if armed.passes_left:
        return
    del _armed[point]  # once in the life of a process
    sys.stderr.write(f"failpoint {point} {armed.action}\n")
    sys.stderr.flush()
    if armed.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif armed.action == "raise":
        raise FailpointReached(point)
    else:
        _stop(armed.seconds)


def _stop(seconds: float) -> None:
    """Freeze the process; a child in a session of its own continues it."""
    command = [sys.executable, "-I", "-S", "-c", _SELF_CONTINUE, str(os.getpid()), str(seconds)]
    with subprocess.Popen(command, start_new_session=True):  # noqa: S603  a fixed command
        os.kill(os.getpid(), signal.SIGSTOP)
