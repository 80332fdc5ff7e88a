"""A server as a child process: in a session of its own, logging to a file, unable to outlive us."""

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
TAIL_BYTES = 4000
TAIL_LINES = 15


class Child:
    """A started process.

    `dies_by` is what the kernel sends it if we are killed. To the kernel, the end of the thread that
    started it is as good as ours, hence the main thread only (RuntimeError).
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        directory: Path,
        log: Path,
        environment: Mapping[str, str],
        who: str = launch.AS_WE_ARE,
        dies_by: signal.Signals = signal.SIGKILL,
    ) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("start servers from the main thread: they end with the thread that started them")
        self.log = log
        with log.open("ab") as out:
            self._log_start = out.tell()
            self._process = subprocess.Popen(
                launcher(command, directory=directory, who=who, dies_by=dies_by),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # the terminal's Ctrl-C is for us; we stop it in order
            )

    @property
    def pid(self) -> int:
        """Its process id; exec keeps it, so this is the server itself."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it and the rest of its session now, and reap it."""
        if self.exit_code is None:
            with suppress(ProcessLookupError, PermissionError):  # it ended just now
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(KILL_SECONDS)

    def log_tail(self) -> str:
        """The last lines it wrote since this start."""
        with self.log.open("rb") as written:
            end = written.seek(0, os.SEEK_END)
            written.seek(max(self._log_start, end - TAIL_BYTES))
            text = written.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-TAIL_LINES:])


def launcher(
    command: Sequence[str | Path], *, directory: Path, who: str, dies_by: signal.Signals = signal.SIGKILL
) -> list[str]:
    """The command line that becomes `command` by way of launch.py."""
    script = Path(launch.__file__)
    words = [sys.executable, "-I", "-S", script, os.getpid(), int(dies_by), who, directory, *command]
    return [str(word) for word in words]


def clean_environment(*without: str, **extra: str) -> dict[str, str]:
    """Our environment minus the variables that begin with one of `without`, plus `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(without)}
    return kept | extra
