"""The settings of the REST API: its server, its streams, authentication and rate limits."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal

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
    header_timeout_seconds: Annotated[float, about("Timeout of receiving the request line and headers.", gt=0)] = field(
        name="WEB_HEADER_TIMEOUT_SECONDS"
    )
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
    allowed_hosts: Annotated[str, about("Allowed Host header names, comma-separated; empty = any. Others get 421.")] = (
        field(name="WEB_ALLOWED_HOSTS")
    )
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


class AuthSettings(SettingsGroup, frozen=True, kw_only=True):
    mode: Annotated[
        Literal["oidc", "off"],
        about("Authentication of API requests: `oidc` = bearer tokens; `off` = every request is allowed."),
    ] = field(name="AUTH")
    issuer: Annotated[str, about("Issuer (`iss`) of accepted access tokens: the URL of the OpenID provider.")] = field(
        name="AUTH_ISSUER"
    )
    audience: Annotated[str, about("Audience (`aud`) that access tokens must contain.")] = field(name="AUTH_AUDIENCE")
    keys_url: Annotated[str, about("URL of the issuer's key set (JWKS); empty = from its metadata.")] = field(
        name="AUTH_KEYS_URL"
    )
    role_claims: Annotated[str, about("Claims that contain roles, comma-separated; dots lead into objects.")] = field(
        name="AUTH_ROLE_CLAIMS"
    )
    most_seconds: Annotated[float, about("Longest lifetime of an accepted token.", gt=0)] = field(
        name="AUTH_TOKEN_MAX_SECONDS"
    )
    keys_seconds: Annotated[float, about("How long the issuer's keys are cached before a refresh.", gt=0)] = field(
        name="AUTH_KEYS_SECONDS"
    )
    keys_pause_seconds: Annotated[
        float, about("Minimum interval between two requests for the issuer's keys.", gt=0)
    ] = field(name="AUTH_KEYS_PAUSE_SECONDS")
    keys_keep_seconds: Annotated[
        float, about("How long cached keys are used while the issuer is unavailable.", gt=0)
    ] = field(name="AUTH_KEYS_KEEP_SECONDS")
    timeout_seconds: Annotated[float, about("Timeout of requests to the issuer.", gt=0)] = field(
        name="AUTH_TIMEOUT_SECONDS"
    )

    limits: Annotated[Literal["on", "off"], about("Rate limits and quotas of API requests.")] = field(name="LIMITS")
    peer_rate: Annotated[
        float, about("Unauthenticated requests per second of one client address; more get 429.", gt=0)
    ] = field(name="LIMIT_PEER_RATE")
    peer_burst: Annotated[int, about("Burst of such requests.", ge=1)] = field(name="LIMIT_PEER_BURST")
    person_rate: Annotated[float, about("Requests per second of one customer or driver; more get 429.", gt=0)] = field(
        name="LIMIT_PERSON_RATE"
    )
    person_burst: Annotated[int, about("Burst of such requests.", ge=1)] = field(name="LIMIT_PERSON_BURST")
    staff_rate: Annotated[
        float, about("Requests per second of one dispatcher, admin or service; more get 429.", gt=0)
    ] = field(name="LIMIT_STAFF_RATE")
    staff_burst: Annotated[int, about("Burst of such requests.", ge=1)] = field(name="LIMIT_STAFF_BURST")
    open_orders: Annotated[int, about("Maximum number of open orders of one customer.", ge=1)] = field(
        name="LIMIT_OPEN_ORDERS"
    )
    streams_each: Annotated[
        int, about("Maximum number of open streams of one customer or driver; more get 429.", ge=1)
    ] = field(name="LIMIT_STREAMS")
    driver_kmh: Annotated[
        float, about("Maximum plausible speed of drivers; faster location updates are rejected.", gt=0)
    ] = field(name="LIMIT_DRIVER_KMH")
    trusted_proxies: Annotated[
        str, about("Addresses or networks of trusted proxies, comma-separated, whose X-Forwarded-For is used.")
    ] = field(name="TRUSTED_PROXIES")

    @property
    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks of trusted_proxies; raises ValueError."""
        return tuple(ip_network(one.strip(), strict=False) for one in self.trusted_proxies.split(",") if one.strip())

    @property
    def role_paths(self) -> tuple[tuple[str, ...], ...]:
        """The role claims, each as a path of names."""
        return tuple(tuple(claim.strip().split(".")) for claim in self.role_claims.split(",") if claim.strip())
