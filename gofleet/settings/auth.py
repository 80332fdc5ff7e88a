"""The settings of who may ask for what."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal

from msgspec import field

from gofleet.settings.group import SettingsGroup, about


class AuthSettings(SettingsGroup, frozen=True, kw_only=True):
    mode: Annotated[
        Literal["oidc", "off"], about("Whether the API asks who somebody is; `off`: anybody may do anything.")
    ] = field(name="AUTH")
    issuer: Annotated[
        str, about("URL of the OpenID provider whose access tokens are taken, as it calls itself in them.")
    ] = field(name="AUTH_ISSUER")
    audience: Annotated[str, about("What the tokens' `aud` must name.")] = field(name="AUTH_AUDIENCE")
    keys_url: Annotated[str, about("Where the issuer's keys are; empty = where its metadata says.")] = field(
        name="AUTH_KEYS_URL"
    )
    role_claims: Annotated[str, about("Claims that hold roles, with commas between; dots lead into objects.")] = field(
        name="AUTH_ROLE_CLAIMS"
    )
    most_seconds: Annotated[float, about("Longest life of a token that is taken.", gt=0)] = field(
        name="AUTH_TOKEN_MAX_SECONDS"
    )
    keys_seconds: Annotated[float, about("How long the issuer's keys are fresh.", gt=0)] = field(
        name="AUTH_KEYS_SECONDS"
    )
    keys_pause_seconds: Annotated[
        float, about("Between two times that the issuer is asked for keys, whatever tokens come.", gt=0)
    ] = field(name="AUTH_KEYS_PAUSE_SECONDS")
    keys_keep_seconds: Annotated[float, about("How long keys are trusted while the issuer cannot be asked.", gt=0)] = (
        field(name="AUTH_KEYS_KEEP_SECONDS")
    )
    timeout_seconds: Annotated[float, about("Longest wait for an answer of the issuer.", gt=0)] = field(
        name="AUTH_TIMEOUT_SECONDS"
    )

    limits: Annotated[Literal["on", "off"], about("Whether the API counts how often somebody asks.")] = field(
        name="LIMITS"
    )
    peer_rate: Annotated[float, about("Requests a second of one address that nobody known sends, then 429.", gt=0)] = (
        field(name="LIMIT_PEER_RATE")
    )
    peer_burst: Annotated[int, about("Such requests at once.", ge=1)] = field(name="LIMIT_PEER_BURST")
    person_rate: Annotated[float, about("Requests a second of one customer or driver, then 429.", gt=0)] = field(
        name="LIMIT_PERSON_RATE"
    )
    person_burst: Annotated[int, about("Such requests at once.", ge=1)] = field(name="LIMIT_PERSON_BURST")
    staff_rate: Annotated[float, about("Requests a second of one dispatcher, admin or service, then 429.", gt=0)] = (
        field(name="LIMIT_STAFF_RATE")
    )
    staff_burst: Annotated[int, about("Such requests at once.", ge=1)] = field(name="LIMIT_STAFF_BURST")
    open_orders: Annotated[
        int, about("Orders of one customer that are not over, when the customer asks for one more.", ge=1)
    ] = field(name="LIMIT_OPEN_ORDERS")
    streams_each: Annotated[int, about("Streams that one customer or driver holds open at once, then 429.", ge=1)] = (
        field(name="LIMIT_STREAMS")
    )
    driver_kmh: Annotated[
        float, about("How fast drivers are at most; fixes of their own beyond that are refused.", gt=0)
    ] = field(name="LIMIT_DRIVER_KMH")
    trusted_proxies: Annotated[
        str, about("Addresses or networks, with commas between, whose X-Forwarded-For is believed.")
    ] = field(name="TRUSTED_PROXIES")

    @property
    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Those networks; ValueError."""
        return tuple(ip_network(one.strip(), strict=False) for one in self.trusted_proxies.split(",") if one.strip())

    @property
    def role_paths(self) -> tuple[tuple[str, ...], ...]:
        """The claims, each as the names that lead to it."""
        return tuple(tuple(claim.strip().split(".")) for claim in self.role_claims.split(",") if claim.strip())
