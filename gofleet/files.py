"""Finds what lies beside the package in the repository and inside it in the wheel: `sql/` and `config/`."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The folder `sql` or `config`, wherever this installation keeps it."""
    for root in (_PACKAGE / "_files", _PACKAGE.parent):
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(f"this installation of GoFleet lacks its {name}/ folder")
