"""The settings of the fleet role, of the search for drivers, and of the breaker around it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import field

from gofleet.settings.group import SettingsGroup, about


class BreakerSettings(SettingsGroup, frozen=True, kw_only=True):
    min_calls: Annotated[int, about("Calls in the window before the breaker may open.", ge=1)] = field(
        name="BREAKER_MIN_CALLS"
    )
    failure_ratio: Annotated[float, about("Share of failures that opens it.", gt=0, le=1)] = field(
        name="BREAKER_FAILURE_RATIO"
    )
    window_seconds: Annotated[float, about("Length of the sliding window.", gt=0)] = field(
        name="BREAKER_WINDOW_SECONDS"
    )
    open_seconds: Annotated[float, about("How long the open breaker rejects calls.", gt=0)] = field(
        name="BREAKER_OPEN_SECONDS"
    )
    probes: Annotated[
        int, about("Half open: number of trial calls, and of successes that close the breaker.", ge=1)
    ] = field(name="BREAKER_PROBES")


class FleetSettings(SettingsGroup, frozen=True, kw_only=True):
    host: Annotated[str, about("Host of the fleet role, for api and worker.")] = field(name="FLEET_HOST")
    timeout_seconds: Annotated[float, about("Timeout of calls to the fleet role.", gt=0)] = field(
        name="FLEET_TIMEOUT_SECONDS"
    )
    listen_host: Annotated[str, about("Address that the fleet role listens on.")] = field(name="GRPC_HOST")
    port: Annotated[int, about("gRPC port of the fleet role.", ge=1, le=65535)] = field(name="GRPC_PORT")
    max_message_bytes: Annotated[
        int, about("Largest gRPC message that the fleet role accepts; 1000 positions need up to 131072.", ge=131_072)
    ] = field(name="GRPC_MAX_MESSAGE_BYTES")
    max_connections: Annotated[
        int, about("Maximum number of gRPC connections of the fleet role; more are closed at once.", ge=1)
    ] = field(name="GRPC_MAX_CONNECTIONS")
    max_control_frames: Annotated[
        int,
        about(
            "Resets, pings, settings and other control frames that a gRPC client may send in 10 s beyond its calls; one"
            " that sends more is disconnected.",
            ge=100,
        ),
    ] = field(name="GRPC_MAX_CONTROL_FRAMES")
    tls: Annotated[
        Literal["auto", "off"],
        about("auto: TLS if GRPC_TLS_CA is set, which production requires; off: never, on a network that you trust."),
    ] = field(name="GRPC_TLS")
    tls_authority: Annotated[
        str, about("PEM file of the certificate authority for gRPC (mutual TLS); empty = no TLS.")
    ] = field(name="GRPC_TLS_CA")
    tls_certificate: Annotated[str, about("PEM file of this role's certificate for gRPC.")] = field(
        name="GRPC_TLS_CERT"
    )
    tls_key: Annotated[str, about("PEM file of the key of GRPC_TLS_CERT.")] = field(name="GRPC_TLS_KEY")
    tls_callers: Annotated[
        str, about("DNS names of client certificates that the fleet role accepts, comma-separated.")
    ] = field(name="GRPC_TLS_CALLERS")
    depot_lat: Annotated[
        float | None,
        about("Default pickup latitude in degrees; empty = orders without a pickup go to manual dispatch."),
    ] = field(name="DEPOT_LAT", default=None)
    depot_lng: Annotated[float | None, about("Default pickup longitude in degrees.")] = field(
        name="DEPOT_LNG", default=None
    )
    radius_km: Annotated[float, about("Search radius around the pickup at first.", gt=0)] = field(
        name="SEARCH_RADIUS_KM"
    )
    max_radius_km: Annotated[float, about("Search radius at the end of DISPATCH_PATIENCE_SECONDS.", gt=0)] = field(
        name="SEARCH_RADIUS_MAX_KM"
    )
    position_stale_seconds: Annotated[float, about("Positions older than this are ignored.", gt=0)] = field(
        name="POSITION_STALE_SECONDS"
    )
    claim_seconds: Annotated[float, about("How long a found driver is excluded from other searches.", gt=0)] = field(
        name="CLAIM_SECONDS"
    )
    concurrency: Annotated[
        int, about("Maximum number of order events handled concurrently by the fleet role.", ge=1)
    ] = field(name="FLEET_CONCURRENCY")
    prefetch: Annotated[
        int, about("Prefetch of the fleet role: maximum number of unacknowledged order events.", ge=1)
    ] = field(name="FLEET_PREFETCH")
    reconcile_seconds: Annotated[
        float, about("Interval of reconciling the drivers in Redis with PostgreSQL.", gt=0)
    ] = field(name="RECONCILE_SECONDS")
    reconcile_batch: Annotated[int, about("Orders or drivers read in one statement of the reconciliation.", ge=1)] = (
        field(name="RECONCILE_BATCH")
    )

    @property
    def callers(self) -> frozenset[str]:
        """The accepted DNS names."""
        return frozenset(name.strip() for name in self.tls_callers.split(",") if name.strip())
