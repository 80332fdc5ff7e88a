"""As whom PostgreSQL runs: it refuses to be root."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from gofleet.embedded import launch
from gofleet.embedded.child import launcher
from gofleet.embedded.errors import EmbeddedError

TRIAL_SECONDS = 30.0


def choose(postgres: Path, directory: Path, data: Path) -> str:
    """Who may run `postgres` on `data` inside `directory`, in the words of launch.py.

    Root steps into a user namespace, where its files can stay where they are; without namespaces
    (a chroot, a strict container) it becomes nobody. Data that exists is served by its owner.
    """
    if os.geteuid() != 0:
        return launch.AS_WE_ARE
    owner = data.stat().st_uid if data.exists() else 0
    if owner == 0 and can_run([postgres, "--version"], directory, launch.IN_NAMESPACE):
        return launch.IN_NAMESPACE
    if owner == 0 and data.exists():
        raise EmbeddedError(
            f"PostgreSQL cannot use {data}",
            "it belongs to root, PostgreSQL refuses to run as root, and this machine allows no user namespace",
            "run as an ordinary user, or choose another directory",
        )
    return str(owner or launch.NOBODY)


def is_other_user(who: str) -> bool:
    """Whether `who` is a user id to change to."""
    return who.isdigit()


def can_run(command: Sequence[str | Path], directory: Path, who: str) -> bool:
    """Whether `who` can enter `directory`, and there run `command` with success."""
    trial = subprocess.run(
        launcher(command, directory=directory, who=who), check=False, capture_output=True, timeout=TRIAL_SECONDS
    )
    return trial.returncode == 0


def readable_copy(bin_dir: Path, directory: Path) -> Path:
    """Copy the wheel's PostgreSQL into `directory` for a user who cannot read the original; answers its bin."""
    package, copy = bin_dir.parents[1], directory / "program"
    shutil.rmtree(copy, ignore_errors=True)  # it may be half of one, or of another version
    for part in (package, package.with_name(f"{package.name}.libs")):  # side by side: a relative rpath leads there
        if part.exists():
            shutil.copytree(part, copy / part.name, symlinks=True)
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))
    return copy / package.name / bin_dir.relative_to(package)
