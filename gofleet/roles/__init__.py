"""The roles that a process can run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gofleet.process import Part  # it loads what a command that only names the roles does not need

ORDER = ("fleet", "relay", "worker", "api")
"""Servers before their callers; closed in reverse."""


def role(name: str) -> Part[None]:
    """The role of that name. Imported only now, so that a worker does not load a web framework."""
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"gofleet.roles.{name}"), name)
