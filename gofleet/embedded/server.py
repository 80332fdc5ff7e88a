"""Life cycle of an embedded server: start, readiness, stop, kill, and restart on the same data and port."""

import atexit
import os
import secrets
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from gofleet.embedded import launch
from gofleet.embedded.child import Child
from gofleet.embedded.resources import Directory, EmbeddedError, Ports
from gofleet.embedded.steps import Steps, drive, drive_async, drive_while

Address = TypeVar("Address")

START_SECONDS = 60.0
STOP_SECONDS = 10.0
TRANSIENT_FAILURE_SECONDS = 10.0
PORT_TAKEN = ("address already in use", "eaddrinuse")


class Server(ABC, Generic[Address]):
    """An embedded server on 127.0.0.1.

    `data` is kept for the next run; without it a temporary directory is used, and deleted at stop. `port` is fixed;
    without it a free port is chosen, and kept for the life of this object. Servers are started from the main thread
    (see launch.py). Clients need the password, which is new for each object: the loopback interface is shared by all
    users of the machine. It is never part of a command line, which they can read.
    """

    name: ClassVar[str]
    port_count: ClassVar[int] = 1
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    transient_failures: ClassVar[Sequence[str]] = ()
    """Log texts, in lower case, after which the launch is retried."""

    def __init__(self, data: Path | None, port: int | None, start_seconds: float, password: str | None = None) -> None:
        self._directory = Directory(data, self.name)
        self._start_seconds = start_seconds
        self._ports = Ports(port, self.port_count)
        self._process: Child | None = None
        self._companions: list[Child] = []
        self._pending_start: Steps | None = None
        self._started = False
        self._owner_pid = os.getpid()
        self._password = password or secrets.token_hex(24)

    @property
    def address(self) -> Address:
        """Connection parameters, also while the server is killed; EmbeddedError if it was never started."""
        if not self._started:
            raise EmbeddedError(f"{self.name} has no address", "it was not started", "start it first")
        return self._address()

    @property
    def is_alive(self) -> bool:
        """Whether the process runs (not whether it is ready)."""
        return self._process is not None and self._process.exit_code is None

    @property
    def pids(self) -> list[int]:
        """Ids of the started processes; the server itself is the first."""
        return [child.pid for child in (self._process, *self._companions) if child]

    @property
    def log(self) -> Path:
        """File with the output; available while the server has a directory."""
        return self._directory.path / "log"

    async def start(self) -> None:
        """Start the server and return once it is ready; EmbeddedError, with the end of its log, if it fails."""
        await drive_async(self.starting())

    async def stop(self) -> None:
        """Stop the server in order; kill it after STOP_SECONDS or when interrupted. No effect if it is stopped."""
        await drive_async(self.stopping())

    def kill(self) -> None:
        """Send SIGKILL, for fault tests: the directory stays locked, and a start uses the same data and port."""
        self._drop_pending_start()
        self._kill_processes()

    def _kill_processes(self) -> None:
        for child in (self._process, *self._companions):
            if child:
                child.kill()
        self._process = None
        self._companions.clear()

    def begin(self) -> None:
        """Start the process and return immediately; the next start waits until it is ready."""
        if self._pending_start is None and not self.is_alive:
            pending = self._start()
            drive_while(lambda: self._process is None, pending)
            self._pending_start = pending

    def starting(self) -> Steps:
        """Steps of `start`, to drive together with those of other servers."""
        pending, self._pending_start = self._pending_start, None
        return pending or self._start()

    def stopping(self) -> Steps:
        """Steps of `stop`, to drive together with those of other servers."""
        self._drop_pending_start()
        try:
            if self._process is not None:
                self._request_stop(self._process)
            deadline = time.monotonic() + STOP_SECONDS
            while self.is_alive and time.monotonic() < deadline:
                yield
        finally:
            self._clean_up()

    def _drop_pending_start(self) -> None:
        if self._pending_start is not None:
            self._pending_start.close()
            self._pending_start = None

    def _start(self) -> Steps:
        if self.is_alive:
            return
        self._owner_pid = os.getpid()
        self._directory.acquire()
        atexit.register(self._clean_up)
        try:
            yield from self._prepare()
            yield from self._launch_until_ready()
        except BaseException:  # also GeneratorExit: a Ctrl-C or a cancelled task closes the generator at a yield
            self._clean_up()
            raise
        self._started = True

    def _launch_until_ready(self) -> Steps:
        start_time = time.monotonic()
        while True:
            self._kill_processes()  # of the previous attempt
            yield from self._ports.wait_until_free()
            self._process = process = yield from self._launch()
            if (yield from self._wait_until_ready(process, start_time)):
                return
            tail = process.log_tail().lower()
            other_port = any(text in tail for text in PORT_TAKEN) and self._ports.choose()
            transient = any(text in tail for text in self.transient_failures) and not _is_past(
                start_time, TRANSIENT_FAILURE_SECONDS
            )
            if not (other_port or transient) or _is_past(start_time, self._start_seconds):
                raise self._failure(process, f"it ended with exit code {process.exit_code}")

    def _wait_until_ready(self, process: Child, start_time: float) -> Generator[None, None, bool]:
        """True once the server is ready, False if it died; EmbeddedError after the start timeout."""
        while process.exit_code is None:
            if self._is_ready(process):
                return True
            if _is_past(start_time, self._start_seconds):
                raise self._failure(process, f"it was not ready within {self._start_seconds:g} s")
            yield
        return False

    def _spawn(
        self,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        *,
        user: str = launch.CURRENT_USER,
        death_signal: signal.Signals = signal.SIGKILL,
        stdin: Path | None = None,
    ) -> Child:
        return Child(
            command,
            directory=self._directory.path,
            log=self.log,
            environment=environment,
            user=user,
            death_signal=death_signal,
            stdin=stdin,
        )

    def _request_stop(self, process: Child) -> None:
        process.send_signal(self.stop_signal)

    def _clean_up(self) -> None:
        """Kill the processes and release the directory; also registered with atexit."""
        if os.getpid() != self._owner_pid:  # after a fork, the servers belong to the parent
            return
        self._kill_processes()
        self._directory.release()
        atexit.unregister(self._clean_up)

    def _failure(self, process: Child, why: str) -> EmbeddedError:
        last_lines = process.log_tail() or "it wrote no log"
        return EmbeddedError(f"{self.name} did not start", why, f"see the end of its log {process.log}:\n{last_lines}")

    @abstractmethod
    def _prepare(self) -> Steps:
        """Prepare the directory for a launch."""

    @abstractmethod
    def _launch(self) -> Generator[None, None, Child]:
        """Start the server on `self._ports`, after its companions.

        No yield may follow the start of the server: an interruption there would lose the process.
        """

    @abstractmethod
    def _is_ready(self, process: Child) -> bool:
        """Whether `process` itself serves, rather than another program on the same port."""

    @abstractmethod
    def _address(self) -> Address: ...


AnyServer = Server[Any]


@contextmanager
def running(*servers: AnyServer) -> Generator[None]:
    """Run `servers` for the duration of the block, without an event loop; they start and stop concurrently."""
    try:
        drive(*(server.starting() for server in servers))
        yield
    finally:
        drive(*(server.stopping() for server in servers))


@asynccontextmanager
async def all_running(*servers: AnyServer, on_ready: Callable[[AnyServer], None] | None = None) -> AsyncGenerator[None]:
    """Run `servers` for the duration of the block; `on_ready` is called with each server once it is ready."""
    try:
        await drive_async(*(_starting(server, on_ready) for server in servers))
        yield
    finally:
        await drive_async(*(server.stopping() for server in servers))


def _starting(server: AnyServer, on_ready: Callable[[AnyServer], None] | None) -> Steps:
    yield from server.starting()
    if on_ready:
        on_ready(server)


def _is_past(start_time: float, seconds: float) -> bool:
    return time.monotonic() - start_time > seconds
