"""`gofleet login` and `logout`: an access token from the issuer that an API trusts (OAuth 2.0)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast
from urllib.parse import urlsplit

from cyclopts import Parameter

from gofleet.cli.api_client import (
    DEFAULT_URL,
    TIMEOUT_SECONDS,
    Url,
    decode_response,
    delete_token,
    store_token,
    unreachable,
    within,
)
from gofleet.cli.errors import FAILED, INVALID_USAGE, UNREACHABLE, CliError, printable
from gofleet.cli.output import JsonObject

if TYPE_CHECKING:
    from ssl import SSLContext

    import httpx

RESOURCE_METADATA = "/.well-known/oauth-protected-resource"
ISSUER_METADATA = "/.well-known/openid-configuration"
SCOPES = "openid orders:read orders:write drivers:read drivers:write operations"
DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL_SECONDS, SLOW_DOWN_SECONDS, INTERVAL_MIN_SECONDS = 5.0, 5.0, 1.0
"""Polling interval, and its increment after a slow_down error (RFC 8628, 3.5)."""


def login_command(
    *,
    client_id: Annotated[
        str, Parameter(help="OAuth client id at the issuer.", env_var="GOFLEET_CLIENT_ID")
    ] = "gofleet-cli",
    client_secret: Annotated[
        str | None,
        Parameter(
            help="Use the client credentials grant; by default the device authorization grant.",
            env_var="GOFLEET_CLIENT_SECRET",
        ),
    ] = None,
    scope: Annotated[str, Parameter(help="Requested scopes, separated by spaces.")] = SCOPES,
    audience: Annotated[
        str | None, Parameter(help="Resource indicator of the API (RFC 8707), if the issuer requires it.")
    ] = None,
    issuer_host: Annotated[
        str, Parameter(help="Hosts besides the issuer's own, comma-separated, to which credentials may be sent.")
    ] = "",
    ca: Annotated[
        str | None, Parameter(help="PEM file of the only authority of the issuer's certificate.", env_var="AUTH_CA")
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Get an access token from the issuer that the API at --url trusts, and store it for the other commands.

    A user opens the printed address in any browser and confirms the code (RFC 8628). The token is stored in
    ~/.config/gofleet, readable only by its owner, until it expires.
    """
    import httpx

    if not _is_private(url):
        why = "it does not use https, so its answer could name another issuer"
        raise CliError(f"{url} is not secure", why, "use the API's https address", INVALID_USAGE)
    with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as http:
        issuer = _issuer(http, url)
    if not _is_private(issuer):
        why = f"{printable(issuer)} does not use https, so credentials could be intercepted"
        raise CliError(f"{url} names an issuer that is not secure", why, "use the issuer's https address")
    hosts = frozenset(host.strip().lower() for host in issuer_host.split(",") if host.strip())
    with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False, verify=_authorities(ca)) as http:
        metadata = _request(http, "GET", issuer.rstrip("/") + ISSUER_METADATA)
        if metadata.get("issuer") != issuer:
            raise _unexpected(issuer, f"its metadata names the issuer {printable(metadata.get('issuer'))}")
        form = {"client_id": client_id, "scope": scope} | ({"resource": audience} if audience else {})
        if client_secret is None:
            tokens = _device_login(http, _Endpoints(metadata, issuer, hosts), form)
        else:
            form["scope"] = " ".join(word for word in scope.split() if word != "openid")
            form |= {"grant_type": "client_credentials", "client_secret": client_secret}
            tokens = _request(http, "POST", _Endpoints(metadata, issuer, hosts).url("token_endpoint"), form)
    if not isinstance(token := tokens.get("access_token"), str):
        raise _unexpected(issuer, "its response has no access token")
    seconds = _seconds(tokens, "expires_in", 60)
    file = store_token(url, token, seconds)
    print(f"logged in at {printable(issuer)} for {seconds / 60:.0f} minutes; the token is stored in {file}")


def logout_command(*, url: Url = DEFAULT_URL) -> None:
    """Delete the token that `gofleet login` has stored for the API at --url."""
    print("token deleted" if delete_token(url) else "there is no token")


def _issuer(http: httpx.Client, url: str) -> str:
    """The issuer that the API trusts, from its protected resource metadata (RFC 9728)."""
    metadata = _request(http, "GET", url.rstrip("/") + RESOURCE_METADATA)
    servers = cast("list[object]", metadata.get("authorization_servers") or [])
    if not servers:
        why = "its authentication is off (AUTH=off)"
        raise CliError(f"{url} requires no login", why, "call it without a token", INVALID_USAGE)
    return str(servers[0])


def _is_private(issuer: str) -> bool:
    """Whether secrets sent to the issuer cannot be intercepted: it uses https, or runs on this machine."""
    address = urlsplit(issuer)
    return address.scheme == "https" or (
        address.scheme == "http" and address.hostname in {"127.0.0.1", "::1", "localhost"}
    )


def _authorities(ca: str | None) -> SSLContext | bool:
    """Which authorities verify the issuer's certificate: that of the file, or the public ones."""
    from gofleet.adapters.tls import client_tls_context

    try:
        return client_tls_context(ca) if ca else True
    except OSError as error:
        why = error.strerror or str(error)
        raise CliError(f"{ca} is no authority", why, "pass a PEM file as --ca or AUTH_CA", INVALID_USAGE) from error


@dataclass(frozen=True)
class _Endpoints:
    """Endpoints in the issuer's metadata, to which credentials are sent: at its own address or at one of `hosts`."""

    metadata: JsonObject
    issuer: str
    hosts: frozenset[str]

    def url(self, name: str) -> str:
        from gofleet.adapters.oidc.issuer import is_at_issuer

        url = self.metadata.get(name)
        if not isinstance(url, str):
            why = f"its metadata has no {name}"
            raise CliError("the issuer does not support this grant", why, "try to log in with --client-secret", FAILED)
        if not is_at_issuer(url, self.issuer, self.hosts):
            why = f"its {name} is {printable(url)}, so credentials would be sent to another host, or unencrypted"
            fix = "pass --issuer-host HOST if that https host belongs to the issuer"
            raise CliError(f"the metadata of {printable(self.issuer)} lead elsewhere", why, fix, FAILED)
        return url


def _device_login(http: httpx.Client, endpoints: _Endpoints, form: dict[str, str]) -> JsonObject:
    device = _request(http, "POST", endpoints.url("device_authorization_endpoint"), form)
    address = device.get("verification_uri_complete") or device.get("verification_uri")
    print(f"open {printable(address)} and check that it shows {printable(device.get('user_code'))}", flush=True)
    interval = max(_seconds(device, "interval", INTERVAL_SECONDS), INTERVAL_MIN_SECONDS)
    deadline = time.monotonic() + _seconds(device, "expires_in", 600)
    poll = {
        "grant_type": DEVICE_CODE_GRANT,
        "device_code": str(device.get("device_code")),
        "client_id": form["client_id"],
    }
    while time.monotonic() < deadline:
        time.sleep(interval)
        response = _request(http, "POST", endpoints.url("token_endpoint"), poll, return_errors=True)
        match response.get("error"):
            case None:
                return response
            case "authorization_pending":
                pass
            case "slow_down":
                interval += SLOW_DOWN_SECONDS
            case error:
                raise _oauth_error(error, response)
    raise CliError("the login was not confirmed in time", "the code has expired", "log in again", FAILED)


def _seconds(body: JsonObject, name: str, default: float) -> float:
    value = body.get(name)
    return float(value) if isinstance(value, int | float) else default


def _request(
    http: httpx.Client, method: str, url: str, form: dict[str, str] | None = None, *, return_errors: bool = False
) -> JsonObject:
    """JSON object of the response; an OAuth error (RFC 6749, 5.2) raises `CliError` unless `return_errors`."""
    import httpx

    try:
        response = within(TIMEOUT_SECONDS, lambda: http.request(method, url, data=cast("Any", form)))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise unreachable(url, error) from error
    if response.is_success or form is None:
        return decode_response(url, response)
    try:
        body: object = response.json()
    except ValueError as error:
        raise _unexpected(url, f"it answers {response.status_code} without JSON") from error
    if not isinstance(body, dict):
        raise _unexpected(url, f"it answers {response.status_code} without a JSON object")
    body = cast("JsonObject", body)
    if return_errors and "error" in body:
        return body
    raise _oauth_error(body.get("error"), body)


def _unexpected(url: str, why: str) -> CliError:
    return CliError(f"unexpected response from {url}", why, "check that it is an OAuth issuer", UNREACHABLE)


def _oauth_error(error: object, body: JsonObject) -> CliError:
    why = printable(body.get("error_description") or error or "no reason given")
    exit_code = UNREACHABLE if error == "temporarily_unavailable" else FAILED
    fix = "check --client-id, --client-secret and --scope"
    return CliError("the issuer rejected the request", why, fix, exit_code)
