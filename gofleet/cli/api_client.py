"""What commands ask of a running API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, cast
from urllib.parse import quote

from cyclopts import Parameter

from gofleet.cli.credentials import headers_for
from gofleet.cli.errors import NOT_THERE, REFUSED, CommandFailed, Failure, harmless

if TYPE_CHECKING:
    import httpx

Url = Annotated[str, Parameter(help="Where the API is.", env_var="GOFLEET_URL")]
HERE = "http://127.0.0.1:8000"
PREFIX = "/api/v1"
PAGE = 100
SECONDS = 15.0

SERVER_ERROR = 500
AWAY = frozenset({502, 503, 504})
"""Answers of an API that cannot reach what it needs, or of somebody before it."""
FIXES = {
    "no-such-order": "`gofleet orders list` shows the ids",
    "no-such-driver": "`gofleet drivers list` shows the ids; `gofleet drivers set` registers one",
    "unknown-driver": "`gofleet drivers list` shows the ids; `gofleet drivers set` registers one",
    "no-such-parked-message": "`gofleet parked list` shows the ids",
    "invalid-transition": "`gofleet orders events ID` tells what became of it",
    "version-mismatch": "look at it as it is now, and decide anew: --if-match takes its version",
    "driver-busy": "choose another driver: `gofleet orders candidates ID`",
    "fleet-unavailable": "is a fleet role running? `gofleet doctor` looks",
}
"""What to do about a problem with a command; what the API itself says of the others is good enough."""

Item = dict[str, Any]


class Remote:
    """The API at `url`, over one connection; close it, or use it as a context."""

    def __init__(self, url: str) -> None:
        import httpx

        self.url = url
        self._errors = (httpx.HTTPError, httpx.InvalidURL)
        try:
            self._http = httpx.Client(base_url=url, timeout=SECONDS, trust_env=False, headers=headers_for(url))
        except self._errors as error:
            raise unreachable(url, error) from error

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        if_match: int | None = None,
    ) -> Item:
        """The JSON that it answers (an empty one if there is no content); `CommandFailed` when there is none, or it is
        a refusal. `if_match` is the version that the order must have."""
        import msgspec

        asking = {name: str(value) for name, value in (query or {}).items() if value is not None}
        headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
        content = None if body is None else msgspec.json.Encoder(decimal_format="number").encode(body)
        if content is not None:
            headers["Content-Type"] = "application/json"
        try:
            answer = self._http.request(method, PREFIX + path, params=asking, content=content, headers=headers)
        except self._errors as error:
            raise unreachable(self.url, error) from error
        return answered(self.url, answer)


def asked(
    method: str,
    url: str,
    path: str,
    *,
    query: Mapping[str, object] | None = None,
    body: object = None,
    if_match: int | None = None,
) -> Item:
    """One question, as `Remote.ask`."""
    with Remote(url) as remote:
        return remote.ask(method, path, query=query, body=body, if_match=if_match)


def all_items(url: str, path: str, query: Mapping[str, object], limit: int) -> tuple[list[Item], bool]:
    """Up to `limit` items, over as many pages as that takes, and whether there are more."""
    items: list[Item] = []
    cursor: str | None = None
    with Remote(url) as remote:
        while len(items) < limit:
            asking = {**query, "limit": min(PAGE, limit - len(items)), "cursor": cursor}
            page = remote.ask("GET", path, query=asking)
            items += items_of(url, page)
            cursor = page.get("next_cursor")
            if cursor is None:
                return items, False
    return items, True


def items_of(url: str, said: Item) -> list[Item]:
    """What an answer lists."""
    found = said.get("items")
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in cast("list[object]", found)):
        raise nobody(url, "it answers with something else than a list")
    return cast("list[Item]", found)


def quoted(id: str) -> str:
    """An id as a step of a path, whatever is in it."""
    return quote(id, safe="")


def answered(url: str, answer: httpx.Response) -> Item:
    """What a whole answer says; `CommandFailed` if it is a refusal, or not of a GoFleet."""
    import msgspec

    if answer.is_success and not answer.content:
        return {}
    try:
        said = msgspec.json.decode(answer.content, type=Item)
    except msgspec.MsgspecError as error:
        raise nobody(url, f"it answers {answer.status_code} and no JSON object") from error
    if not answer.is_success:
        raise CommandFailed(_refusal(answer.status_code, said))
    return said


def unreachable(url: str, error: Exception) -> CommandFailed:
    fix = "is the api role running there? --url or GOFLEET_URL say where it is"
    return CommandFailed(Failure(f"no answer from {url}", str(error) or type(error).__name__, fix, NOT_THERE))


def nobody(url: str, why: str) -> CommandFailed:
    return CommandFailed(Failure(f"there is no GoFleet at {url}", why, "check --url or GOFLEET_URL", NOT_THERE))


def _refusal(status: int, problem: Item) -> Failure:
    """The problem's own words."""
    from gofleet.adapters.http.problem_types import problem_type_of_uri

    faults = problem.get("errors")
    known = cast("list[Item]", faults) if isinstance(faults, list) else []
    where = [f"{fault.get('parameter') or fault.get('pointer')} {fault.get('detail')}" for fault in known]
    why = "; ".join(where) or str(problem.get("detail") or f"status {status}")
    kind = problem_type_of_uri(problem.get("type"))
    hint = kind.hint if kind else "try again later" if status >= SERVER_ERROR else "see `--help`"
    fix = FIXES.get(kind.slug, hint) if kind else hint
    code = NOT_THERE if status in AWAY else REFUSED
    return Failure(harmless(problem.get("title", "refused")), harmless(why), fix, code)
