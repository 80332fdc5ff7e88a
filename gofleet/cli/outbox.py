"""`gofleet outbox`: events that the broker refused so often that people must look."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gofleet.cli.api_client import HERE, Url, all_items, asked
from gofleet.cli.output import Json, say, show, words
from gofleet.cli.params import Limit

COLUMNS = {
    "id": "id",
    "type": "event",
    "order_id": "order",
    "sequence": "number",
    "attempts": "attempts",
    "error": "error",
    "held_back": "held back",
    "failed_at": "failed at",
}


def listed(
    *,
    limit: Limit = 50,
    url: Url = HERE,
    json: Json = False,
) -> None:
    """List events that no relay tries any more, newest first; each holds back the later ones of its order."""
    items, more = all_items(url, "/outbox/failed", {}, limit)
    show(items, COLUMNS, json=json, more=more)


def retry(
    *,
    expect: Annotated[int, Parameter(help="How many there must be, else nothing is done.")],
    url: Url = HERE,
    json: Json = False,
) -> None:
    """Have all of them tried again."""
    said = asked("POST", url, "/outbox/failed/retry", body={"expected_count": expect})
    if json:
        say(said)
    else:
        print(f"{words(said.get('requested'))} events will be tried again")
