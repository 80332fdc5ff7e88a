"""The settings of authentication and rate limits of the REST API."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal

from msgspec import field

from gofleet.settings.group import SettingsGroup, about

ClaimPath = tuple[str, ...]
"""Names that lead from a token's claims through objects to a value."""
EACH = "*"
"""As the last name of a path: each name of an object, or each word of a text."""
_NAME = re.compile(r'\s*(?:"([^"]+)"|([^\s",.]+))\s*(\.|,|$)')


class AuthSettings(SettingsGroup, frozen=True, kw_only=True):
    mode: Annotated[
        Literal["oidc", "off"],
        about("Authentication of API requests: `oidc` = bearer tokens; `off` = every request is allowed."),
    ] = field(name="AUTH")
    issuer: Annotated[str, about("Issuer (`iss`) of accepted access tokens: the URL of the OpenID provider.")] = field(
        name="AUTH_ISSUER"
    )
    audience: Annotated[
        str, about("Audiences, comma-separated, of which access tokens must contain one in AUTH_AUDIENCE_CLAIM.")
    ] = field(name="AUTH_AUDIENCE")
    audience_claim: Annotated[str, about("Claim that contains the audience; `client_id` for Amazon Cognito.")] = field(
        name="AUTH_AUDIENCE_CLAIM"
    )
    access_claims_text: Annotated[
        str,
        about(
            "Claims, comma-separated, of which one marks a token without the type `at+jwt` as an access token:"
            " `NAME=VALUE`, or `NAME` with any value. No ID token of the issuer may contain it."
        ),
    ] = field(name="AUTH_ACCESS_CLAIMS")
    subject_claim: Annotated[str, about("Claim that contains the permanent id of the user or service.")] = field(
        name="AUTH_SUBJECT_CLAIM"
    )
    keys_url: Annotated[str, about("URL of the issuer's key set (JWKS); empty = from its metadata.")] = field(
        name="AUTH_KEYS_URL"
    )
    key_hosts: Annotated[
        str,
        about(
            "Hosts, comma-separated, from which the issuer's metadata may lead to its keys, besides its own address;"
            " `HOST` or `HOST:PORT`."
        ),
    ] = field(name="AUTH_KEY_HOSTS")
    authority: Annotated[
        str, about("PEM file of the only authority of the issuer's certificate; empty = the public authorities.")
    ] = field(name="AUTH_CA")
    role_claims: Annotated[
        str,
        about(
            "Claims that contain roles, comma-separated. Dots lead into objects; a name that contains a dot is enclosed"
            " in double quotes; `.*` at the end takes each name of an object, or each word of a text."
        ),
    ] = field(name="AUTH_ROLE_CLAIMS")
    scope_claims: Annotated[str, about("Claims that contain scopes, written as AUTH_ROLE_CLAIMS.")] = field(
        name="AUTH_SCOPE_CLAIMS"
    )
    name_prefix: Annotated[
        str, about("Prefix of GoFleet's roles and scopes at the issuer, which is removed, such as `gofleet-api/`.")
    ] = field(name="AUTH_NAME_PREFIX")
    most_seconds: Annotated[
        float, about("Longest lifetime of an accepted token; it is valid for that long when stolen.", gt=0, le=86_400)
    ] = field(name="AUTH_TOKEN_MAX_SECONDS")
    keys_seconds: Annotated[float, about("How long the issuer's keys are cached before a refresh.", gt=0)] = field(
        name="AUTH_KEYS_SECONDS"
    )
    keys_pause_seconds: Annotated[
        float, about("Minimum interval between two requests for the issuer's keys.", gt=0)
    ] = field(name="AUTH_KEYS_PAUSE_SECONDS")
    keys_keep_seconds: Annotated[
        float, about("How long cached keys are used while the issuer is unavailable.", gt=0)
    ] = field(name="AUTH_KEYS_KEEP_SECONDS")
    timeout_seconds: Annotated[float, about("Timeout of fetching the issuer's keys, with its metadata.", gt=0)] = field(
        name="AUTH_TIMEOUT_SECONDS"
    )

    limits: Annotated[Literal["on", "off"], about("Rate limits and quotas of API requests.")] = field(name="LIMITS")
    peer_rate: Annotated[
        float,
        about(
            "Requests per second of one client address without a valid token, to any path but /health; more get 429."
            " Those that a trusted proxy sends for no client have the rate of LIMIT_STAFF_RATE.",
            gt=0,
        ),
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
        return tuple(ip_network(one, strict=False) for one in _listed(self.trusted_proxies))

    @property
    def audiences(self) -> frozenset[str]:
        return frozenset(_listed(self.audience))

    @property
    def trusted_key_hosts(self) -> frozenset[str]:
        return frozenset(host.lower() for host in _listed(self.key_hosts))

    @property
    def access_claims(self) -> tuple[tuple[str, str | None], ...]:
        """Name and required value of each claim; without a required value None."""
        pairs = (one.partition("=") for one in _listed(self.access_claims_text))
        return tuple((name.strip(), value.strip() if equals else None) for name, equals, value in pairs)

    @property
    def role_paths(self) -> tuple[ClaimPath, ...]:
        """The paths of role_claims; raises ValueError."""
        return claim_paths(self.role_claims)

    @property
    def scope_paths(self) -> tuple[ClaimPath, ...]:
        """The paths of scope_claims; raises ValueError."""
        return claim_paths(self.scope_claims)


def claim_paths(text: str) -> tuple[ClaimPath, ...]:
    """The paths of a comma-separated list; raises ValueError. `a.b,"https://c.example/d".*` is a path of two names, and
    one of each name in the claim `https://c.example/d`."""
    paths: list[ClaimPath] = []
    names: list[str] = []
    place, end = 0, ""
    while place < len(text) or end:
        if (found := _NAME.match(text, place)) is None:
            raise ValueError(f"no name of a claim at {text[place:]!r}")
        quoted, plain, end = found.groups()
        if plain == EACH and (not names or end == "."):
            raise ValueError(f"{EACH} may only be the last name of a path")
        names.append(quoted or plain)
        if end != ".":
            paths.append(tuple(names))
            names = []
        place = found.end()
    return tuple(paths)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(",") if one.strip())
