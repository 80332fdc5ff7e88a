"""`gofleet login`: an access token from the issuer that an API trusts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, cast
from urllib.parse import urlsplit

from cyclopts import Parameter

from gofleet.cli.api_client import HERE, SECONDS, Item, Url, answered, nobody, unreachable
from gofleet.cli.credentials import forget, keep
from gofleet.cli.errors import NOT_THERE, REFUSED, WRONG_CALL, CommandFailed, Failure, harmless

if TYPE_CHECKING:
    import httpx

RESOURCE = "/.well-known/oauth-protected-resource"
METADATA = "/.well-known/openid-configuration"
SCOPES = "openid orders:read orders:write drivers:read drivers:write operations"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL_SECONDS, SLOWER_SECONDS, LEAST_INTERVAL_SECONDS = 5.0, 5.0, 1.0
"""Between two questions, and how much more once we are asked for it (RFC 8628, 3.5)."""


def login(
    *,
    client_id: Annotated[str, Parameter(help="Who we are to the issuer.", env_var="GOFLEET_CLIENT_ID")] = "gofleet-cli",
    client_secret: Annotated[
        str | None,
        Parameter(help="Log in as a service, by its secret; without, as a person.", env_var="GOFLEET_CLIENT_SECRET"),
    ] = None,
    scope: Annotated[str, Parameter(help="What to ask for, with spaces between.")] = SCOPES,
    audience: Annotated[
        str | None, Parameter(help="The API as its issuer knows it (RFC 8707), where it wants to be told.")
    ] = None,
    url: Url = HERE,
) -> None:
    """Get a token of the issuer that the API at --url trusts, and keep it for the other commands.

    A person opens the address that is shown, in any browser, and says yes there (RFC 8628). The token is kept in
    ~/.config/gofleet, for its owner alone, until it is over.
    """
    import httpx

    with httpx.Client(timeout=SECONDS, trust_env=False) as http:
        issuer = _issuer(http, url)
        if not _is_private(issuer):
            why = f"{harmless(issuer)} is not https, and what goes there could be read on the way"
            raise CommandFailed(
                Failure(f"{url} names an issuer that is not safe", why, "use the issuer's https address")
            )
        found = _answer(http, "GET", issuer.rstrip("/") + METADATA)
        if found.get("issuer") != issuer:
            raise nobody(issuer, f"it calls itself {harmless(found.get('issuer'))}")
        asking = {"client_id": client_id, "scope": scope} | ({"resource": audience} if audience else {})
        if client_secret is None:
            got = _by_device(http, found, asking)
        else:
            asking["scope"] = " ".join(word for word in scope.split() if word != "openid")
            asking |= {"grant_type": "client_credentials", "client_secret": client_secret}
            got = _answer(http, "POST", _endpoint(found, "token_endpoint"), asking)
    if not isinstance(token := got.get("access_token"), str):
        raise nobody(issuer, "it answers without an access token")
    seconds = _seconds(got, "expires_in", 60)
    file = keep(url, token, seconds)
    print(f"logged in at {harmless(issuer)} for {seconds / 60:.0f} minutes; the token is in {file}")


def logout(*, url: Url = HERE) -> None:
    """Forget the token that `gofleet login` has kept for the API at --url."""
    print("forgotten" if forget(url) else "there was none")


def _issuer(http: httpx.Client, url: str) -> str:
    """Whom the API trusts, by its own word (RFC 9728)."""
    said = _answer(http, "GET", url.rstrip("/") + RESOURCE)
    servers = cast("list[object]", said.get("authorization_servers") or [])
    if not servers:
        why = "it lets anybody in (AUTH=off)"
        raise CommandFailed(Failure(f"{url} asks nobody to log in", why, "just ask it", WRONG_CALL))
    return str(servers[0])


def _is_private(issuer: str) -> bool:
    """Whether nobody on the way could read a secret that is sent there; on this machine there is no way."""
    at = urlsplit(issuer)
    return at.scheme == "https" or (at.scheme == "http" and at.hostname in {"127.0.0.1", "::1", "localhost"})


def _by_device(http: httpx.Client, found: Item, asking: dict[str, str]) -> Item:
    begun = _answer(http, "POST", _endpoint(found, "device_authorization_endpoint"), asking)
    place = begun.get("verification_uri_complete") or begun.get("verification_uri")
    print(f"open {harmless(place)} and see that it shows {harmless(begun.get('user_code'))}", flush=True)
    interval = max(_seconds(begun, "interval", INTERVAL_SECONDS), LEAST_INTERVAL_SECONDS)
    until = time.monotonic() + _seconds(begun, "expires_in", 600)
    polling = {
        "grant_type": DEVICE,
        "device_code": str(begun.get("device_code")),
        "client_id": asking["client_id"],
    }
    while time.monotonic() < until:
        time.sleep(interval)
        got = _answer(http, "POST", _endpoint(found, "token_endpoint"), polling, may_fail=True)
        match got.get("error"):
            case None:
                return got
            case "authorization_pending":
                pass
            case "slow_down":
                interval += SLOWER_SECONDS
            case error:
                raise _refused(error, got)
    raise CommandFailed(Failure("nobody said yes in time", "the code is over", "log in again", REFUSED))


def _seconds(said: Item, name: str, otherwise: float) -> float:
    value = said.get(name)
    return float(value) if isinstance(value, int | float) else otherwise


def _endpoint(found: Item, name: str) -> str:
    if not isinstance(found.get(name), str):
        why = f"its metadata have no {name}"
        raise CommandFailed(Failure("the issuer cannot do this", why, "log in by --client-secret, perhaps", REFUSED))
    return str(found[name])


def _answer(
    http: httpx.Client, method: str, url: str, form: dict[str, str] | None = None, *, may_fail: bool = False
) -> Item:
    """The JSON of it; a refusal as OAuth words it (RFC 6749, 5.2), unless that is an answer, too."""
    import httpx

    try:
        answer = http.request(method, url, data=cast("Any", form))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise unreachable(url, error) from error
    if answer.is_success or form is None:
        return answered(url, answer)
    try:
        said: object = answer.json()
    except ValueError as error:
        raise nobody(url, f"it answers {answer.status_code} and no JSON") from error
    if not isinstance(said, dict):
        raise nobody(url, f"it answers {answer.status_code} and no JSON object")
    said = cast("Item", said)
    if may_fail and "error" in said:
        return said
    raise _refused(said.get("error"), said)


def _refused(error: object, said: Item) -> CommandFailed:
    why = harmless(said.get("error_description") or error or "it does not say why")
    code = NOT_THERE if error == "temporarily_unavailable" else REFUSED
    return CommandFailed(Failure("the issuer refuses", why, "check --client-id, --client-secret and --scope", code))
