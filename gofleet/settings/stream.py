"""The settings of the streams of orders."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from gofleet.settings.group import Group, about


class Stream(Group, frozen=True, kw_only=True):
    keep_alive_seconds: Annotated[float, about("A stream is sent something at least this often.", gt=0)] = field(
        name="STREAM_KEEP_ALIVE_SECONDS"
    )
    poll_seconds: Annotated[float, about("How often to look for moves of orders when no bell rings.", gt=0)] = field(
        name="STREAM_POLL_SECONDS"
    )
    window: Annotated[
        int, about("Moves kept in memory for all streams; one that is further behind reads PostgreSQL.", ge=1)
    ] = field(name="STREAM_WINDOW")
    page: Annotated[int, about("Moves read in one statement and sent at once.", ge=1)] = field(name="STREAM_PAGE")
