"""The settings of the fleet role, and of those who call it."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from gofleet.settings.group import SettingsGroup, about


class FleetSettings(SettingsGroup, frozen=True, kw_only=True):
    host: Annotated[str, about("Where api and worker find the fleet role.")] = field(name="FLEET_HOST")
    timeout_seconds: Annotated[float, about("Longest wait for an answer of the fleet role.", gt=0)] = field(
        name="FLEET_TIMEOUT_SECONDS"
    )
    listen_host: Annotated[str, about("Address that the fleet role listens on.")] = field(name="GRPC_HOST")
    port: Annotated[int, about("gRPC port of the fleet role.", ge=1, le=65535)] = field(name="GRPC_PORT")
    max_message_bytes: Annotated[
        int, about("Largest gRPC message that the fleet role takes; 1000 positions need up to 131072.", ge=131_072)
    ] = field(name="GRPC_MAX_MESSAGE_BYTES")
    tls_authority: Annotated[
        str, about("PEM file of the authority that both ends of the gRPC link trust; empty = no TLS there.")
    ] = field(name="GRPC_TLS_CA")
    tls_certificate: Annotated[str, about("PEM file of this role's certificate for that link.")] = field(
        name="GRPC_TLS_CERT"
    )
    tls_key: Annotated[str, about("PEM file of its key.")] = field(name="GRPC_TLS_KEY")
    tls_callers: Annotated[
        str, about("DNS names, with commas between, of certificates that the fleet role listens to.")
    ] = field(name="GRPC_TLS_CALLERS")
    depot_lat: Annotated[
        float | None, about("Pickup of orders that name none, degrees; empty = such orders go to people.")
    ] = field(name="DEPOT_LAT", default=None)
    depot_lng: Annotated[float | None, about("Pickup of orders that name none, degrees.")] = field(
        name="DEPOT_LNG", default=None
    )
    radius_km: Annotated[float, about("How far from the pickup a driver may be.", gt=0)] = field(
        name="SEARCH_RADIUS_KM"
    )
    max_radius_km: Annotated[float, about("The radius at the end of an order's patience.", gt=0)] = field(
        name="SEARCH_RADIUS_MAX_KM"
    )
    position_stale_seconds: Annotated[float, about("Older positions do not count.", gt=0)] = field(
        name="POSITION_STALE_SECONDS"
    )
    claim_seconds: Annotated[float, about("How long a found driver is kept from other searches.", gt=0)] = field(
        name="CLAIM_SECONDS"
    )
    concurrency: Annotated[int, about("Order events handled at once by the fleet role.", ge=1)] = field(
        name="FLEET_CONCURRENCY"
    )
    prefetch: Annotated[int, about("Order events held unacknowledged by the fleet role.", ge=1)] = field(
        name="FLEET_PREFETCH"
    )
    reconcile_seconds: Annotated[
        float, about("How often the fleet role compares who is busy with the orders in PostgreSQL.", gt=0)
    ] = field(name="RECONCILE_SECONDS")
    reconcile_batch: Annotated[int, about("Orders or drivers read in one statement for that.", ge=1)] = field(
        name="RECONCILE_BATCH"
    )

    @property
    def callers(self) -> frozenset[str]:
        """Those names."""
        return frozenset(name.strip() for name in self.tls_callers.split(",") if name.strip())
