"""The settings of the REST API."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from gofleet.settings.group import SettingsGroup, about


class WebSettings(SettingsGroup, frozen=True, kw_only=True):
    host: Annotated[str, about("Address that the REST API listens on.")] = field(name="WEB_SERVER_HOST")
    port: Annotated[int, about("Port of the REST API.", ge=1, le=65535)] = field(name="WEB_SERVER_PORT")
    max_body_bytes: Annotated[int, about("Largest request body, then 413.", ge=1)] = field(name="WEB_MAX_BODY_BYTES")
    body_timeout_seconds: Annotated[float, about("Longest wait for a whole request body, then 408.", gt=0)] = field(
        name="WEB_BODY_TIMEOUT_SECONDS"
    )
    header_timeout_seconds: Annotated[float, about("Longest wait for a whole request head.", gt=0)] = field(
        name="WEB_HEADER_TIMEOUT_SECONDS"
    )
    max_connections: Annotated[int, about("Connections of clients at once, idle ones included.", ge=1)] = field(
        name="WEB_MAX_CONNECTIONS"
    )
    max_requests: Annotated[
        int, about("New orders answered at once, and as many other requests; more get 503.", ge=1)
    ] = field(name="WEB_MAX_REQUESTS")
    least_requests: Annotated[int, about("New orders answered at once however slow they are.", ge=1)] = field(
        name="WEB_LEAST_REQUESTS"
    )
    target_seconds: Annotated[
        float,
        about("While new orders take longer, fewer are taken in at once. Keep it above what two commits take.", gt=0),
    ] = field(name="WEB_TARGET_SECONDS")
    allowed_hosts: Annotated[
        str, about("Names that requests may call the API by, with commas between; empty = any. Else 421.")
    ] = field(name="WEB_ALLOWED_HOSTS")
    count_seconds: Annotated[float, about("How often counts of requests are kept for GET /slo.", gt=0)] = field(
        name="WEB_COUNT_SECONDS"
    )
    send_buffer_bytes: Annotated[
        int, about("So much of an answer the system keeps for a client that does not take it.", ge=4096)
    ] = field(name="WEB_SEND_BUFFER_BYTES")
    send_timeout_seconds: Annotated[
        float, about("A client that takes nothing of its answer for so long is cut off.", gt=0)
    ] = field(name="WEB_SEND_TIMEOUT_SECONDS")
    max_streams: Annotated[int, about("Streams of orders held open at once, then 503.", ge=1)] = field(
        name="WEB_MAX_STREAMS"
    )

    @property
    def hosts(self) -> frozenset[str]:
        """The names in lower case; empty = any."""
        return frozenset(name.strip().lower() for name in self.allowed_hosts.split(",") if name.strip())
