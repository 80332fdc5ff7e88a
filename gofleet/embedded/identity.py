"""User that an embedded PostgreSQL runs as, because PostgreSQL refuses to run as root."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from gofleet.embedded import launch
from gofleet.embedded.child import launch_command
from gofleet.embedded.resources import EmbeddedError

TRIAL_SECONDS = 30.0


def choose_user(postgres: Path, directory: Path, data: Path) -> str:
    """User that may run `postgres` on `data` inside `directory`, in the format of launch.py.

    Root enters a user namespace, where its files can stay where they are. Without namespaces (a chroot, a strict
    container) root becomes the user nobody. Existing data is served by its owner.
    """
    if os.geteuid() != 0:
        return launch.CURRENT_USER
    owner = data.stat().st_uid if data.exists() else 0
    if owner == 0 and can_run([postgres, "--version"], directory, launch.USER_NAMESPACE):
        return launch.USER_NAMESPACE
    if owner == 0 and data.exists():
        raise EmbeddedError(
            f"PostgreSQL cannot use {data}",
            "it belongs to root, PostgreSQL refuses to run as root, and this machine allows no user namespace",
            "run as an ordinary user, or choose another directory",
        )
    return str(owner or launch.NOBODY_UID)


def is_other_user(user: str) -> bool:
    """Whether `user` is a user id to change to."""
    return user.isdigit()


def can_run(command: Sequence[str | Path], directory: Path, user: str) -> bool:
    """Whether `user` can enter `directory` and run `command` in it successfully."""
    trial = subprocess.run(
        launch_command(command, directory=directory, user=user),
        check=False,
        capture_output=True,
        timeout=TRIAL_SECONDS,
    )
    return trial.returncode == 0


def copy_programs(bin_dir: Path, directory: Path) -> Path:
    """Copy the wheel's PostgreSQL into `directory` for a user that cannot read the original; returns its bin path."""
    package, copy = bin_dir.parents[1], directory / "program"
    shutil.rmtree(copy, ignore_errors=True)  # it may be incomplete, or of another version
    for part in (package, package.with_name(f"{package.name}.libs")):  # siblings, because the rpath is relative
        if part.exists():
            shutil.copytree(part, copy / part.name, symlinks=True)
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))
    return copy / package.name / bin_dir.relative_to(package)
