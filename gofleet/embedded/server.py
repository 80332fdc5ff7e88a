"""The life of a private server: start, answer, stop, be killed, start again on the same data and port."""

import atexit
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from gofleet.embedded import launch
from gofleet.embedded.child import Child
from gofleet.embedded.directory import Directory
from gofleet.embedded.errors import EmbeddedError
from gofleet.embedded.loopback import Ports
from gofleet.embedded.steps import Steps, drive_async, drive_while

Address = TypeVar("Address")

START_SECONDS = 60.0
STOP_SECONDS = 10.0
PASSING_SECONDS = 10.0
PORT_TAKEN = ("address already in use", "eaddrinuse")


class Server(ABC, Generic[Address]):
    """A private server on 127.0.0.1.

    `data` is kept for the next run; without it a temporary directory serves, and is deleted at stop.
    `port` is fixed; without it a free one is chosen, and kept for the life of this object.
    Start it from the main thread: see launch.py.
    """

    name: ClassVar[str]
    port_count: ClassVar[int] = 1
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    passing_failures: ClassVar[Sequence[str]] = ()
    """What its log says, in lower case, when it is enough to try again in a moment."""

    def __init__(self, data: Path | None, port: int | None, start_seconds: float) -> None:
        self._directory = Directory(data, self.name)
        self._start_seconds = start_seconds
        self._ports = Ports(port, self.port_count)
        self._process: Child | None = None
        self._companions: list[Child] = []
        self._begun: Steps | None = None
        self._answered = False
        self._owner = os.getpid()

    @property
    def address(self) -> Address:
        """How to reach it, also while it is killed; EmbeddedError if it never started."""
        if not self._answered:
            raise EmbeddedError(f"{self.name} has no address", "it was not started", "start it first")
        return self._address()

    @property
    def is_alive(self) -> bool:
        """Whether its process runs (not whether it answers)."""
        return self._process is not None and self._process.exit_code is None

    @property
    def pids(self) -> list[int]:
        """The processes we started for it; the server itself is the first."""
        return [child.pid for child in (self._process, *self._companions) if child]

    @property
    def log(self) -> Path:
        """Where its output goes; known while it has a directory."""
        return self._directory.path / "log"

    async def start(self) -> None:
        """Return once it answers; EmbeddedError, with the end of its log, if it does not."""
        await drive_async(self.starting())

    async def stop(self) -> None:
        """Stop it in order; by force after STOP_SECONDS, or when interrupted. Nothing if it is stopped."""
        await drive_async(self.stopping())

    def kill(self) -> None:
        """SIGKILL, for tests of faults: its directory stays ours, and a start brings it back on the same port."""
        self._forget_begun()
        self._kill_processes()

    def _kill_processes(self) -> None:
        for child in (self._process, *self._companions):
            if child:
                child.kill()
        self._process = None
        self._companions.clear()

    def begin(self) -> None:
        """Start its process now and return; the next start waits until it answers."""
        if self._begun is None and not self.is_alive:
            begun = self._start()
            drive_while(lambda: self._process is None, begun)
            self._begun = begun

    def starting(self) -> Steps:
        """The steps of `start`, to drive beside those of other servers."""
        begun, self._begun = self._begun, None
        return begun or self._start()

    def stopping(self) -> Steps:
        """The steps of `stop`, to drive beside those of other servers."""
        self._forget_begun()
        try:
            if self._process is not None:
                self._ask_to_stop(self._process)
            deadline = time.monotonic() + STOP_SECONDS
            while self.is_alive and time.monotonic() < deadline:
                yield
        finally:
            self._abandon()

    def _forget_begun(self) -> None:
        if self._begun is not None:
            self._begun.close()
            self._begun = None

    def _start(self) -> Steps:
        if self.is_alive:
            return
        self._owner = os.getpid()
        self._directory.claim()
        atexit.register(self._abandon)
        try:
            yield from self._prepare()
            yield from self._launch_until_it_answers()
        except BaseException:  # also GeneratorExit: a Ctrl-C or a cancelled task closes us at a yield
            self._abandon()
            raise
        self._answered = True

    def _launch_until_it_answers(self) -> Steps:
        started = time.monotonic()
        while True:
            self._kill_processes()  # what is left of the launch before
            yield from self._ports.become_free()
            self._process = process = yield from self._launch()
            if (yield from self._answered_in_time(process, started)):
                return
            tail = process.log_tail().lower()
            elsewhere = any(sign in tail for sign in PORT_TAKEN) and self._ports.choose()
            later = any(sign in tail for sign in self.passing_failures) and not _is_past(started, PASSING_SECONDS)
            if not (elsewhere or later) or _is_past(started, self._start_seconds):
                raise self._failure(process, f"it ended with exit code {process.exit_code}")

    def _answered_in_time(self, process: Child, started: float) -> Generator[None, None, bool]:
        """True once it answers, False if it died; EmbeddedError when the time is up."""
        while process.exit_code is None:
            if self._answers(process):
                return True
            if _is_past(started, self._start_seconds):
                raise self._failure(process, f"it did not answer in {self._start_seconds:g} s")
            yield
        return False

    def _spawn(
        self,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        *,
        who: str = launch.AS_WE_ARE,
        dies_by: signal.Signals = signal.SIGKILL,
    ) -> Child:
        return Child(
            command, directory=self._directory.path, log=self.log, environment=environment, who=who, dies_by=dies_by
        )

    def _ask_to_stop(self, process: Child) -> None:
        process.send(self.stop_signal)

    def _abandon(self) -> None:
        """Leave nothing behind; also what Python does for us at exit."""
        if os.getpid() != self._owner:  # in a fork, the servers are still our parent's
            return
        self._kill_processes()
        self._directory.release()
        atexit.unregister(self._abandon)

    def _failure(self, process: Child, why: str) -> EmbeddedError:
        last_lines = process.log_tail() or "it wrote no log"
        return EmbeddedError(f"{self.name} did not start", why, f"the end of its log {process.log}:\n{last_lines}")

    @abstractmethod
    def _prepare(self) -> Steps:
        """Make the directory ready for a launch."""

    @abstractmethod
    def _launch(self) -> Generator[None, None, Child]:
        """Start the server on `self._ports`, after its companions; no yield once it is started, or it may be lost."""

    @abstractmethod
    def _answers(self, process: Child) -> bool:
        """Whether it serves, and it is ours and not another that took the port."""

    @abstractmethod
    def _address(self) -> Address: ...


def _is_past(started: float, seconds: float) -> bool:
    return time.monotonic() - started > seconds
