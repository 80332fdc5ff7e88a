"""The installation of the journeys, under load."""

from __future__ import annotations

from tests.journeys.conftest import installation

__all__ = ["installation"]
