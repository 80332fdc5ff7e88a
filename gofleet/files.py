"""Shipped files (`sql/`, `config/` and `proto/`, in the wheel inside the package), and files with secrets."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """Path of the folder `sql`, `config` or `proto` of this installation."""
    for root in (_PACKAGE / "_files", _PACKAGE.parent):
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(f"this installation of GoFleet lacks its {name}/ folder")


def write_private(file: Path, content: bytes) -> None:
    """Write a new file with mode 0600, replacing an old one, so that its content is never readable by others."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as output:
        output.write(content)
