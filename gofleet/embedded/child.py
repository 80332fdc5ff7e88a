"""Child process of an embedded server: own session, output to a log file, terminated when its parent dies."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gofleet.embedded import launch

KILL_SECONDS = 10.0
LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
LOG_TAIL_BYTES = 4000
LOG_TAIL_LINES = 15


class Child:
    """A started process.

    The kernel sends it `death_signal` when its parent is killed. The signal is tied to the thread that started the
    process, not to the parent process, so only the main thread may start one (RuntimeError).
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        directory: Path,
        log: Path,
        environment: Mapping[str, str],
        user: str = launch.CURRENT_USER,
        death_signal: signal.Signals = signal.SIGKILL,
        stdin: Path | None = None,
    ) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("start servers from the main thread: they end with the thread that started them")
        self.log = log
        source = stdin or Path(os.devnull)
        with os.fdopen(os.open(log, LOG_FLAGS, 0o600), "ab") as output, source.open("rb") as requests:
            self._log_start = output.tell()
            self._process = subprocess.Popen(
                launch_command(command, directory=directory, user=user, death_signal=death_signal),
                stdin=requests,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # a Ctrl-C in the terminal must not reach it; the parent stops it in order
            )

    @property
    def pid(self) -> int:
        """Process id of the server itself, because exec keeps the id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while the process runs; negative for the signal that ended it."""
        return self._process.poll()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal unless the process has ended."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the process and its session, and reap it."""
        if self.exit_code is None:
            with suppress(ProcessLookupError, PermissionError):  # it ended just now
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(KILL_SECONDS)

    def log_tail(self) -> str:
        """Last lines of output since this start."""
        with self.log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start, end - LOG_TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])


def launch_command(
    command: Sequence[str | Path], *, directory: Path, user: str, death_signal: signal.Signals = signal.SIGKILL
) -> list[str]:
    """Command line that executes `command` through launch.py."""
    script = Path(launch.__file__)
    words = [sys.executable, "-I", "-S", script, os.getpid(), int(death_signal), user, directory, *command]
    return [str(word) for word in words]


def clean_environment(*excluded_prefixes: str, **extra: str) -> dict[str, str]:
    """This process's environment without variables that begin with one of the prefixes, plus `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(excluded_prefixes)}
    return kept | extra
