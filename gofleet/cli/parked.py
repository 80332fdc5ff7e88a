"""`gofleet parked`: look at messages that were given up, and have them put back into their queues."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gofleet.cli.api_client import HERE, Url, all_items, asked, items_of
from gofleet.cli.errors import WRONG_CALL, CommandFailed, Failure
from gofleet.cli.output import Json, say, show, show_one, words
from gofleet.cli.params import CauseName, Limit, StageName

Queue = Annotated[str | None, Parameter(help="Only those of this queue.")]
Fingerprint = Annotated[str | None, Parameter(help="Only failures of this sort.")]
Reason = Annotated[CauseName | None, Parameter(help="Only those given up for this.")]
State = Annotated[StageName | None, Parameter(help="Without: what is not back in its queue.")]

COLUMNS = {
    "id": "id",
    "queue": "queue",
    "state": "state",
    "reason": "reason",
    "detail": "detail",
    "order_id": "order",
    "fingerprint": "fingerprint",
    "parked_at": "parked at",
}
GROUP_COLUMNS = {
    "fingerprint": "fingerprint",
    "queue": "queue",
    "reason": "reason",
    "detail": "newest says",
    "count": "count",
    "waiting": "waiting",
    "last_at": "last at",
}
UNCLEAR = Failure(
    "it is not clear what to replay",
    "it must be either one message or, of all that match, so many",
    "say `replay ID`, or `replay --fingerprint F --expect N`",
    exit_code=WRONG_CALL,
)


def listed(
    *,
    queue: Queue = None,
    fingerprint: Fingerprint = None,
    reason: Reason = None,
    state: State = None,
    limit: Limit = 50,
    url: Url = HERE,
    json: Json = False,
) -> None:
    """List parked messages, newest first."""
    query = {"queue": queue, "fingerprint": fingerprint, "reason": reason, "state": state}
    items, more = all_items(url, "/parked", query, limit)
    show(items, COLUMNS, json=json, more=more)


def groups(*, queue: Queue = None, reason: Reason = None, url: Url = HERE, json: Json = False) -> None:
    """Count parked messages by what went wrong, the most frequent first."""
    found = asked("GET", url, "/parked/groups", query={"queue": queue, "reason": reason, "limit": 100})
    show(items_of(url, found), GROUP_COLUMNS, json=json)


def opened(id: Annotated[int, Parameter(help="As `list` says.")], /, *, url: Url = HERE, json: Json = False) -> None:
    """Show one parked message: all that is known of it, its headers, and its body."""
    show_one(asked("GET", url, f"/parked/{id}"), json=json)


def replay(
    id: Annotated[int | None, Parameter(help="One message, as `list` says.")] = None,
    /,
    *,
    queue: Queue = None,
    fingerprint: Fingerprint = None,
    reason: Reason = None,
    expect: Annotated[int | None, Parameter(help="How many that must be, else nothing is done.")] = None,
    url: Url = HERE,
    json: Json = False,
) -> None:
    """Have one message put back into its queue: `replay ID`; or all that match: `replay --fingerprint F --expect N`.

    A relay does it within a second; `list --state replayed` tells. Asking twice is asking once.
    """
    chosen = {"queue": queue, "fingerprint": fingerprint, "reason": reason}
    wanted = {name: value for name, value in chosen.items() if value is not None}
    if (id is None) == (expect is None) or (id is not None and wanted):
        raise CommandFailed(UNCLEAR)
    if id is not None:
        said = asked("POST", url, f"/parked/{id}/replay")
        told = f"message {id} {'was replayed before' if said.get('state') == 'replayed' else 'will be put back'}"
    else:
        said = asked("POST", url, "/parked/replay", body={"filter": wanted, "expected_count": expect})
        told = f"{words(said.get('requested'))} messages will be put back"
    if json:
        say(said)
    else:
        print(told)
