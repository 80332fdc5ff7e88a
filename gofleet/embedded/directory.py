"""The directory of a server: its data, its log, and the lock that keeps a second program out."""

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

from gofleet.embedded.errors import EmbeddedError

DELETE_SECONDS = 2.0


class Directory:
    """One server's directory: the caller's, kept for the next run, or a temporary one, deleted on release."""

    def __init__(self, given: Path | None, purpose: str) -> None:
        self.temporary = given is None
        self.created = False
        self._path = None if given is None else given.absolute()
        self._purpose = purpose
        self._lock: int | None = None

    @property
    def path(self) -> Path:
        """Where it is. Only known while claimed, when temporary."""
        if self._path is None:
            raise RuntimeError("claim the directory first")
        return self._path

    def claim(self) -> None:
        """Create it if needed and lock it; EmbeddedError if another program holds it."""
        if self._lock is not None:
            return
        try:
            self._create()
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise EmbeddedError(
                f"{self._purpose} cannot use {self._path or tempfile.gettempdir()}",
                str(error),
                "choose a directory you can write to",
            ) from error
        self._lock = _locked(lock, self.path)

    def release(self) -> None:
        """Unlock it, and delete it if it is temporary."""
        if self._lock is None:
            return
        if self.temporary:
            _delete(self.path)
            self._path = None
        os.close(self._lock)
        self._lock = None

    def _create(self) -> None:
        if self._path is None:
            self._path = Path(tempfile.mkdtemp(prefix=f"gofleet-{self._purpose.lower()}-"))
            self.created = True
        elif not self._path.is_dir():
            self._path.mkdir(mode=0o700, parents=True)
            self.created = True


def _locked(lock: int, path: Path) -> int:
    """Hold the open file `lock`, or close it and raise.

    The kernel drops the lock with its holder, even after kill -9, so a stale one cannot keep us out;
    the process id inside is for the message only.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise EmbeddedError(
            f"{path} is in use",
            f"process {holder} keeps a server there",
            "stop that program, or choose another directory",
        ) from None
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def _delete(path: Path) -> None:
    """Delete the tree, also while the last process of a killed server still writes into it."""
    deadline = time.monotonic() + DELETE_SECONDS
    while path.exists():
        shutil.rmtree(path, ignore_errors=True)
        if time.monotonic() > deadline:
            return
