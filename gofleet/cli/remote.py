"""What commands ask of a running API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import httpx
import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gofleet.adapters.http.slugs import slug_of
from gofleet.cli.failures import CommandFailed, Failure

Url = Annotated[str, Parameter(help="Where the API is.", env_var="GOFLEET_URL")]
Json = Annotated[bool, Parameter(help="One JSON object a line.")]
HERE = "http://127.0.0.1:8000"
PAGE = 100
SECONDS = 15.0

SERVER_ERROR = 500

Item = dict[str, Any]


def asked(method: str, url: str, path: str, *, query: Mapping[str, object] | None = None, body: object = None) -> Item:
    """The JSON that the API answers; `CommandFailed` when there is none, or it is a refusal."""
    asking = {name: str(value) for name, value in (query or {}).items() if value is not None}
    try:
        with httpx.Client(base_url=url, timeout=SECONDS, trust_env=False) as http:
            answer = http.request(method, f"/api/v1{path}", params=asking, json=body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        fix = "is the api role running there? --url or GOFLEET_URL say where it is"
        raise CommandFailed(Failure(f"no answer from {url}", str(error) or type(error).__name__, fix)) from error
    try:
        said = msgspec.json.decode(answer.content, type=Item)
    except msgspec.MsgspecError as error:
        why = f"it answers {answer.status_code} and no JSON object"
        raise CommandFailed(Failure(f"there is no GoFleet at {url}", why, "check --url or GOFLEET_URL")) from error
    if not answer.is_success:
        raise CommandFailed(_refusal(answer.status_code, said))
    return said


def all_items(url: str, path: str, query: Mapping[str, object], limit: int) -> tuple[list[Item], bool]:
    """Up to `limit` items, over as many pages as that takes, and whether there are more."""
    items: list[Item] = []
    cursor: str | None = None
    while len(items) < limit:
        page = asked("GET", url, path, query={**query, "limit": min(PAGE, limit - len(items)), "cursor": cursor})
        items += page["items"]
        cursor = page.get("next_cursor")
        if cursor is None:
            return items, False
    return items, True


def show(items: list[Item], columns: Mapping[str, str], *, json: bool, more: bool = False) -> None:
    """A table of these columns (field -> title), or each whole item as one line of JSON."""
    if json:
        for item in items:
            print(msgspec.json.encode(item).decode())
        return
    table = Table(*columns.values(), caption="there are more: --limit" if more else None)
    for item in items:
        table.add_row(*(Text(harmless(item[name])) for name in columns))  # Text: it is no markup
    Console().print(table)


def harmless(value: object) -> str:
    """Somebody else's text for a terminal: without control characters, which could do anything there."""
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def _refusal(status: int, problem: Item) -> Failure:
    """The problem's own words."""
    faults: list[Item] = problem.get("errors", [])
    where = [f"{fault.get('parameter') or fault.get('pointer')} {fault['detail']}" for fault in faults]
    why = "; ".join(where) or str(problem.get("detail") or f"status {status}")
    slug = slug_of(problem.get("type"))
    fix = slug.meaning.hint if slug else "try again later" if status >= SERVER_ERROR else "see `--help`"
    return Failure(harmless(problem.get("title", "refused")), harmless(why), fix)
