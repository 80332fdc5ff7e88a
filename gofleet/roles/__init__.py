"""The roles a process can play."""

from __future__ import annotations

from gofleet.process import Part

ORDER = ("fleet", "relay", "worker", "api")
"""Servers before their callers; closed the other way round."""


def role(name: str) -> Part[None]:
    """The role of that name. Imported only now: a worker should not wait for a web framework."""
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"gofleet.roles.{name}"), name)
