"""The settings of the streams of orders."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from gofleet.settings.group import SettingsGroup, about


class StreamSettings(SettingsGroup, frozen=True, kw_only=True):
    keep_alive_seconds: Annotated[float, about("A stream is sent something at least this often.", gt=0)] = field(
        name="STREAM_KEEP_ALIVE_SECONDS"
    )
    poll_seconds: Annotated[float, about("How often to look for moves of orders when no bell rings.", gt=0)] = field(
        name="STREAM_POLL_SECONDS"
    )
    window: Annotated[
        int, about("Moves kept in memory for all streams; one that is further behind reads PostgreSQL.", ge=1)
    ] = field(name="STREAM_WINDOW")
    moves_seconds: Annotated[float, about("How often to look how drivers move in the box of a stream.", gt=0)] = field(
        name="STREAM_MOVES_SECONDS"
    )
    moves_drivers: Annotated[int, about("Drivers of one box at most, those nearest to its middle.", ge=1, le=500)] = (
        field(name="STREAM_MOVES_DRIVERS")
    )
    page: Annotated[int, about("Moves read in one statement and sent at once.", ge=1)] = field(name="STREAM_PAGE")
