"""Folder of the demo, and its log: bounded in size, and kept when the demo fails."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gofleet.cli.errors import CliError

LOG_FILE = "gofleet.log"
LOG_BYTES_MAX = 20_000_000


@dataclass
class DemoFolder:
    """Folder for the data and the log."""

    path: Path
    failed: bool = False


@contextmanager
def demo_folder(data: Path | None) -> Generator[DemoFolder]:
    """The folder `data`, created if needed, or a temporary one, of which only the log of a failed demo is kept.

    `CliError` if the folder cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="gofleet-demo-") as temporary:
        demo = DemoFolder(data.absolute() if data else Path(temporary))
        try:
            demo.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            (demo.path / LOG_FILE).touch(0o600)
        except OSError as error:
            fix = "choose a directory that you can write to with --data"
            raise CliError(f"the demo cannot use {demo.path}", error.strerror or str(error), fix) from error
        try:
            yield demo
        except Exception:
            demo.failed = True
            raise
        finally:
            if demo.failed:
                print(f"log: {demo.path / LOG_FILE if data else _keep(demo.path / LOG_FILE)}", file=sys.stderr)


def _keep(log: Path) -> Path:
    number, name = tempfile.mkstemp(prefix="gofleet-demo-", suffix=".log")
    os.close(number)
    with suppress(OSError):
        shutil.copyfile(log, name)
    return Path(name)


class RotatingLog(io.TextIOBase):
    """Text file that is renamed to `NAME.1`, replacing an older one, and begun again when it exceeds `bytes_max`."""

    def __init__(self, path: Path, bytes_max: int = LOG_BYTES_MAX) -> None:
        self._path, self._bytes_max = path, bytes_max
        self._open()

    def write(self, text: str, /) -> int:
        self._file.write(text)
        self._size += len(text)
        if self._size > self._bytes_max:
            self._file.close()
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            self._open()
        return len(text)

    def flush(self) -> None:
        if not self._file.closed:
            self._file.flush()

    def close(self) -> None:
        self._file.close()
        super().close()

    def _open(self) -> None:
        number = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._file = os.fdopen(number, "a", encoding="utf-8")
        self._size = self._path.stat().st_size
