"""The settings of the REST API: its server and its streams."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from gofleet.settings.group import SettingsGroup, about


class WebSettings(SettingsGroup, frozen=True, kw_only=True):
    host: Annotated[str, about("Address that the REST API listens on.")] = field(name="WEB_SERVER_HOST")
    port: Annotated[int, about("Port of the REST API.", ge=1, le=65535)] = field(name="WEB_SERVER_PORT")
    max_body_bytes: Annotated[int, about("Largest request body; a larger one gets 413.", ge=1)] = field(
        name="WEB_MAX_BODY_BYTES"
    )
    body_timeout_seconds: Annotated[float, about("Timeout of receiving a request body; then 408.", gt=0)] = field(
        name="WEB_BODY_TIMEOUT_SECONDS"
    )
    keep_alive_seconds: Annotated[
        float,
        about(
            "A connection without a complete request for this long is closed. Keep it above the idle timeout of the"
            " proxy in front.",
            gt=0,
        ),
    ] = field(name="WEB_KEEP_ALIVE_SECONDS")
    max_connections: Annotated[int, about("Maximum number of client connections, including idle ones.", ge=1)] = field(
        name="WEB_MAX_CONNECTIONS"
    )
    max_requests: Annotated[
        int, about("Maximum number of new orders in flight, and of other requests; more get 503.", ge=1)
    ] = field(name="WEB_MAX_REQUESTS")
    least_requests: Annotated[int, about("Minimum of the adaptive limit of new orders in flight.", ge=1)] = field(
        name="WEB_LEAST_REQUESTS"
    )
    target_seconds: Annotated[
        float,
        about(
            "Target latency of new orders: above it, fewer are admitted. Keep it above the time of two commits.",
            gt=0,
        ),
    ] = field(name="WEB_TARGET_SECONDS")
    allowed_hosts: Annotated[
        str,
        about(
            "Allowed Host header names, comma-separated; empty = any, and with AUTH=off those of this machine only."
            " Others get 421, except for /health."
        ),
    ] = field(name="WEB_ALLOWED_HOSTS")
    public_url: Annotated[
        str,
        about(
            "URL by which clients reach the API, as the OAuth metadata publishes it; empty = by the Host header, if it"
            " is in WEB_ALLOWED_HOSTS or of this machine."
        ),
    ] = field(name="WEB_PUBLIC_URL")
    count_seconds: Annotated[float, about("Interval of storing request counts for GET /slo.", gt=0)] = field(
        name="WEB_COUNT_SECONDS"
    )
    send_buffer_bytes: Annotated[
        int, about("Send buffer of a connection (SO_SNDBUF) for clients that read slowly.", ge=4096)
    ] = field(name="WEB_SEND_BUFFER_BYTES")
    send_timeout_seconds: Annotated[
        float, about("A client that reads nothing of its response for this long is disconnected.", gt=0)
    ] = field(name="WEB_SEND_TIMEOUT_SECONDS")
    max_streams: Annotated[int, about("Maximum number of open event streams; more get 503.", ge=1)] = field(
        name="WEB_MAX_STREAMS"
    )

    @property
    def hosts(self) -> frozenset[str]:
        """The host names in lower case; empty = any."""
        return frozenset(name.strip().lower() for name in self.allowed_hosts.split(",") if name.strip())


class StreamSettings(SettingsGroup, frozen=True, kw_only=True):
    keep_alive_seconds: Annotated[
        float, about("Longest silence of a stream: then a keep-alive comment is sent.", gt=0)
    ] = field(name="STREAM_KEEP_ALIVE_SECONDS")
    poll_seconds: Annotated[float, about("Polling interval for order events when no notification arrives.", gt=0)] = (
        field(name="STREAM_POLL_SECONDS")
    )
    window: Annotated[
        int, about("Order events kept in memory for all streams; a stream further behind reads PostgreSQL.", ge=1)
    ] = field(name="STREAM_WINDOW")
    moves_seconds: Annotated[
        float, about("Polling interval for driver positions in the bounding box of a stream.", gt=0)
    ] = field(name="STREAM_MOVES_SECONDS")
    moves_drivers: Annotated[
        int, about("Maximum number of drivers in one bounding box: those nearest to its centre.", ge=1, le=500)
    ] = field(name="STREAM_MOVES_DRIVERS")
    page: Annotated[int, about("Order events read in one statement and sent at once.", ge=1)] = field(
        name="STREAM_PAGE"
    )
