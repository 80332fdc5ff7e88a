"""Failpoints: parsing, refusal in production, and their places in the code."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from gofleet import failpoints
from gofleet.cli.run import arm_failpoints
from gofleet.settings import SettingsError, load

PACKAGE = Path(failpoints.__file__).parent


@pytest.fixture(autouse=True)
def disarmed() -> Generator[None]:
    yield
    failpoints.arm("")


def test_the_failpoints_in_the_code_are_those_listed() -> None:
    placed = [
        name
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r'failpoints\.hit\("([a-z_.]+)"\)', path.read_text(encoding="utf-8"))
    ]

    assert sorted(set(placed)) == sorted(failpoints.POINTS)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("worker.nowhere=kill", "there is no failpoint worker.nowhere"),
        ("worker.after_lease=explode", "is not <point>=kill|raise|stop"),
        ("worker.after_lease=kill@0", "is not <point>"),
        ("worker.after_lease", "is not <point>"),
        ("worker.after_lease=stop", "is not <point>"),
    ],
)
def test_an_invalid_specification_prevents_the_start(spec: str, why: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(why)):
        arm_failpoints(load({"GOFLEET_FAILPOINTS": spec}, dotenv=None))


def test_production_refuses_failpoints() -> None:
    environment = {"GOFLEET_ENV": "production", "GOFLEET_FAILPOINTS": "worker.after_lease=kill"}
    with pytest.raises(SettingsError, match="is set in production"):
        arm_failpoints(load(environment, dotenv=None))


def test_acts_once_at_the_given_passing() -> None:
    failpoints.arm("worker.after_lease=raise@2; relay.after_claim=raise")

    failpoints.hit("worker.after_lease")
    with pytest.raises(failpoints.FailpointReached):
        failpoints.hit("worker.after_lease")
    failpoints.hit("worker.after_lease")


def _run(spec: str) -> subprocess.Popen[str]:
    code = f"from gofleet import failpoints as f; f.arm({spec!r}); f.hit('worker.received'); print('continued')"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_kill_is_sigkill() -> None:
    out, err = (process := _run("worker.received=kill")).communicate(timeout=30)

    assert (process.returncode, out, err) == (-signal.SIGKILL, "", "failpoint worker.received kill\n")


def test_stop_freezes_the_process_for_the_given_time() -> None:
    process = _run("worker.received=stop:0.5s")
    assert process.stderr is not None
    assert process.stderr.readline() == "failpoint worker.received stop:0.5s\n"
    began = time.monotonic()

    out, _ = process.communicate(timeout=30)

    assert (process.returncode, out) == (0, "continued\n")
    assert time.monotonic() - began > 0.4
