"""Location of `sql/` and `config/`: beside the package in the repository, inside it in the wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """Path of the folder `sql` or `config` of this installation."""
    for root in (_PACKAGE / "_files", _PACKAGE.parent):
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(f"this installation of GoFleet lacks its {name}/ folder")
