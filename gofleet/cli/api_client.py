"""Client of a running API, and the access token that it sends.

The token is `--token`, or GOFLEET_TOKEN, or the one that `gofleet login` has stored for the API's URL.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated, TypeVar, cast
from urllib.parse import quote

from cyclopts import Parameter

from gofleet.cli.errors import FAILED, INVALID_USAGE, UNREACHABLE, CliError, printable
from gofleet.cli.output import JsonObject
from gofleet.files import write_private

if TYPE_CHECKING:
    import httpx

Url = Annotated[str, Parameter(help="Base URL of the API.", env_var="GOFLEET_URL")]
DEFAULT_URL = "http://127.0.0.1:8000"
PATH_PREFIX = "/api/v1"
PAGE_SIZE = 100
TIMEOUT_SECONDS = 15.0
T = TypeVar("T")

SERVER_ERROR = 500
UNAVAILABLE_STATUSES = frozenset({502, 503, 504})
"""Statuses of an API that cannot reach a dependency, or of a proxy in front of it."""
FIXES = {
    "no-such-order": "`gofleet orders list` lists the ids",
    "no-such-driver": "`gofleet drivers list` lists the ids; `gofleet drivers set` registers one",
    "unknown-driver": "`gofleet drivers list` lists the ids; `gofleet drivers set` registers one",
    "no-such-parked-message": "`gofleet parked list` lists the ids",
    "invalid-transition": "`gofleet orders events ID` shows its history",
    "version-mismatch": "read it again, and pass its current version as --if-match",
    "driver-busy": "choose another driver: `gofleet orders candidates ID`",
    "fleet-unavailable": "check that a fleet role is running: `gofleet doctor`",
}
"""Problem slug -> fix that names a command; for other problems the API's own hint is printed."""

TOKEN_VARIABLE, TOKEN_OPTION = "GOFLEET_TOKEN", "--token"
EXPIRY_MARGIN_SECONDS = 5.0
"""A token that expires within this time counts as expired."""


class ApiClient:
    """The API at `url`, over one connection; use it as a context manager."""

    def __init__(self, url: str) -> None:
        import httpx

        self.url = url
        self._errors = (httpx.HTTPError, httpx.InvalidURL, TimeoutError)
        try:
            self._http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False, headers=auth_headers(url))
        except self._errors as error:
            raise unreachable(url, error) from error

    def __enter__(self) -> ApiClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        if_match: int | None = None,
        idempotency_key: str | None = None,
    ) -> JsonObject:
        """JSON object of the response, empty if it has no content; `CliError` for a problem or if there is no response.

        `if_match` is the required version of the resource.
        """
        import msgspec

        params = {name: str(value) for name, value in (query or {}).items() if value is not None}
        headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        content = None if body is None else msgspec.json.Encoder(decimal_format="number").encode(body)
        if content is not None:
            headers["Content-Type"] = "application/json"
        try:
            response = within(
                TIMEOUT_SECONDS,
                lambda: self._http.request(method, PATH_PREFIX + path, params=params, content=content, headers=headers),
            )
        except self._errors as error:
            raise unreachable(self.url, error) from error
        return decode_response(self.url, response)


def within(seconds: float, call: Callable[[], T]) -> T:
    """The result of `call`; TimeoutError after `seconds`. A timeout of httpx bounds each read, not their sum. The call
    runs in a thread, which is then abandoned with its connection."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError as error:
        raise TimeoutError(f"no complete answer within {seconds:g} s") from error


def call_api(
    method: str,
    url: str,
    path: str,
    *,
    query: Mapping[str, object] | None = None,
    body: object = None,
    if_match: int | None = None,
    idempotency_key: str | None = None,
) -> JsonObject:
    """A single request, as `ApiClient.request`."""
    with ApiClient(url) as client:
        return client.request(method, path, query=query, body=body, if_match=if_match, idempotency_key=idempotency_key)


def fetch_items(url: str, path: str, query: Mapping[str, object], limit: int) -> tuple[list[JsonObject], bool]:
    """Up to `limit` items, over as many pages as necessary, and whether there are more."""
    items: list[JsonObject] = []
    cursor: str | None = None
    with ApiClient(url) as client:
        while len(items) < limit:
            params = {**query, "limit": min(PAGE_SIZE, limit - len(items)), "cursor": cursor}
            page = client.request("GET", path, query=params)
            items += items_from(url, page)
            cursor = page.get("next_cursor")
            if cursor is None:
                return items, page.get("truncated") is True
    return items, True


def items_from(url: str, body: JsonObject) -> list[JsonObject]:
    """Items of a list response."""
    items = body.get("items")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in cast("list[object]", items)):
        raise not_gofleet(url, "its response is not a list")
    return cast("list[JsonObject]", items)


def quote_id(id: str) -> str:
    """An id as a path segment."""
    return quote(id, safe="")


def decode_response(url: str, response: httpx.Response) -> JsonObject:
    """JSON object of a complete response; `CliError` if it is a problem, or not from GoFleet."""
    import msgspec

    if response.is_success and not response.content:
        return {}
    try:
        body = msgspec.json.decode(response.content, type=JsonObject)
    except msgspec.MsgspecError as error:
        raise not_gofleet(url, f"it answers {response.status_code} without a JSON object") from error
    if not response.is_success:
        raise _problem_error(response.status_code, body)
    return body


def unreachable(url: str, error: Exception) -> CliError:
    fix = "start the api role there, or correct --url or GOFLEET_URL"
    return CliError(f"no answer from {url}", str(error) or type(error).__name__, fix, UNREACHABLE)


def not_gofleet(url: str, why: str) -> CliError:
    return CliError(f"{url} is not a GoFleet API", why, "check --url or GOFLEET_URL", UNREACHABLE)


def _problem_error(status: int, problem: JsonObject) -> CliError:
    """The problem's title and detail, with a fix."""
    from gofleet.adapters.http.problem_types import problem_type_of_uri

    errors = problem.get("errors")
    faults = cast("list[JsonObject]", errors) if isinstance(errors, list) else []
    details = [f"{fault.get('parameter') or fault.get('pointer')} {fault.get('detail')}" for fault in faults]
    why = "; ".join(details) or str(problem.get("detail") or f"status {status}")
    kind = problem_type_of_uri(problem.get("type"))
    hint = kind.hint if kind else "try again later" if status >= SERVER_ERROR else "see `--help`"
    fix = FIXES.get(kind.slug, hint) if kind else hint
    exit_code = UNREACHABLE if status in UNAVAILABLE_STATUSES else FAILED
    return CliError(printable(problem.get("title", "request rejected")), printable(why), fix, exit_code)


def extract_token(arguments: Sequence[str]) -> list[str]:
    """The arguments without `--token TOKEN`, whose value is put into the environment for all commands."""
    remaining: list[str] = []
    iterator = iter(arguments)
    for argument in iterator:
        if argument == TOKEN_OPTION:
            if (token := next(iterator, None)) is None:
                raise CliError("--token has no value", "it is the last argument", "pass --token TOKEN", INVALID_USAGE)
            os.environ[TOKEN_VARIABLE] = token
        elif argument.startswith(f"{TOKEN_OPTION}="):
            os.environ[TOKEN_VARIABLE] = argument.partition("=")[2]
        else:
            remaining.append(argument)
    return remaining


def auth_headers(url: str) -> dict[str, str]:
    """Authorization header for the API at `url`; empty without a token."""
    token = _token_for(url)
    return {"Authorization": f"Bearer {token}"} if token else {}


def store_token(url: str, token: str, seconds: float) -> Path:
    """Store the token until it expires, in a file with mode 0600; returns its path."""
    import msgspec

    now, file = time.time(), _token_file()
    tokens = {base: entry for base, entry in _stored_tokens().items() if float(entry["until"]) > now}
    tokens[_token_key(url)] = {"token": token, "until": str(now + seconds)}
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = file.with_suffix(".new")
    write_private(temporary, msgspec.json.encode(tokens))
    temporary.replace(file)
    return file


def delete_token(url: str) -> bool:
    """Delete the stored token; whether there was one."""
    import msgspec

    tokens = _stored_tokens()
    if tokens.pop(_token_key(url), None) is None:
        return False
    _token_file().write_bytes(msgspec.json.encode(tokens))
    return True


def _token_for(url: str) -> str | None:
    if (token := os.environ.get(TOKEN_VARIABLE)) is not None:
        return token or None
    entry = _stored_tokens().get(_token_key(url))
    return entry["token"] if entry and float(entry["until"]) - EXPIRY_MARGIN_SECONDS > time.time() else None


def _token_key(url: str) -> str:
    return url.rstrip("/")


def _token_file() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "gofleet" / "tokens.json"


def _stored_tokens() -> dict[str, dict[str, str]]:
    """Tokens by the API's URL; empty if the file is missing or invalid."""
    import msgspec

    try:
        tokens = msgspec.json.decode(_token_file().read_bytes(), type=dict[str, dict[str, str]])
        return {base: entry for base, entry in tokens.items() if "token" in entry and float(entry["until"]) > 0}
    except (OSError, msgspec.MsgspecError, KeyError, ValueError):
        return {}
