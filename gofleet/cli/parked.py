"""`gofleet parked` and `gofleet outbox`: messages and events that need an operator, and their replay.

Parked messages are the consumers' dead-letter storage; failed events are outbox rows that no relay publishes any more.
"""

from __future__ import annotations

from typing import Annotated, get_args

from cyclopts import Parameter

from gofleet.cli.api_client import DEFAULT_URL, Url, call_api, fetch_items, items_from
from gofleet.cli.errors import INVALID_USAGE, CliError
from gofleet.cli.output import Json, format_value, print_item, print_items, print_json
from gofleet.cli.params import CauseName, Limit, StageName, choice

Queue = Annotated[str | None, Parameter(help="Only messages of this queue.")]
Fingerprint = Annotated[str | None, Parameter(help="Only failures with this fingerprint.")]
Reason = Annotated[
    CauseName | None, choice(get_args(CauseName)), Parameter(help="Only messages parked for this reason.")
]
State = Annotated[
    StageName | None, choice(get_args(StageName)), Parameter(help="By default messages that are not replayed yet.")
]
Expect = Annotated[int, Parameter(help="Expected number of events; if it differs, nothing is done.")]

COLUMNS = {
    "id": "id",
    "reason": "reason",
    "detail": "detail",
    "order_id": "order",
    "parked_at": "parked",
    "state": "state",
    "queue": "queue",
    "fingerprint": "fingerprint",
}
GROUP_COLUMNS = {
    "fingerprint": "fingerprint",
    "queue": "queue",
    "reason": "reason",
    "detail": "latest detail",
    "count": "count",
    "waiting": "waiting",
    "last_at": "last",
}
FAILED_EVENT_COLUMNS = {
    "id": "id",
    "type": "event",
    "order_id": "order",
    "error": "error",
    "failed_at": "failed",
    "attempts": "attempts",
    "held_back": "held back",
    "sequence": "version",
}


def list_parked_command(
    *,
    queue: Queue = None,
    fingerprint: Fingerprint = None,
    reason: Reason = None,
    state: State = None,
    limit: Limit = 50,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """List parked messages, newest first."""
    query = {"queue": queue, "fingerprint": fingerprint, "reason": reason, "state": state}
    items, more = fetch_items(url, "/parked", query, limit)
    print_items(items, COLUMNS, json=json, more=more)


def list_parked_groups_command(
    *, queue: Queue = None, reason: Reason = None, url: Url = DEFAULT_URL, json: Json = False
) -> None:
    """Count parked messages by failure, the most frequent first."""
    body = call_api("GET", url, "/parked/groups", query={"queue": queue, "reason": reason, "limit": 100})
    more = body.get("truncated") is True
    print_items(items_from(url, body), GROUP_COLUMNS, json=json, more=more, more_by="--queue or --reason")


def show_parked_command(
    id: Annotated[int, Parameter(help="Id from `list`.")], /, *, url: Url = DEFAULT_URL, json: Json = False
) -> None:
    """Show all fields of one parked message, with its headers and body."""
    print_item(call_api("GET", url, f"/parked/{id}"), json=json)


def replay_parked_command(
    id: Annotated[int | None, Parameter(help="Id of one message, from `list`.")] = None,
    /,
    *,
    queue: Queue = None,
    fingerprint: Fingerprint = None,
    reason: Reason = None,
    expect: Annotated[
        int | None, Parameter(help="Expected number of messages; if it differs, nothing is done.")
    ] = None,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Replay one message: `replay ID`, or all matching messages: `replay --fingerprint F --expect N`.

    A relay puts them back into their queues within a second; `list --state replayed` shows them. Idempotent.
    """
    filters = {"queue": queue, "fingerprint": fingerprint, "reason": reason}
    criteria = {name: value for name, value in filters.items() if value is not None}
    if (id is None) == (expect is None) or (id is not None and criteria):
        raise CliError(
            "it is not clear what to replay",
            "the command takes either an id, or filters with --expect",
            "use `replay ID`, or `replay --fingerprint F --expect N`",
            INVALID_USAGE,
        )
    if id is not None:
        body = call_api("POST", url, f"/parked/{id}/replay")
        text = f"message {id} {'was replayed before' if body.get('state') == 'replayed' else 'will be replayed'}"
    else:
        body = call_api("POST", url, "/parked/replay", body={"filter": criteria, "expected_count": expect})
        text = f"{format_value(body.get('requested'))} messages will be replayed"
    if json:
        print_json(body)
    else:
        print(text)


def list_failed_events_command(*, limit: Limit = 50, url: Url = DEFAULT_URL, json: Json = False) -> None:
    """List events that are not retried any more, newest first; each one blocks the later events of its order."""
    items, more = fetch_items(url, "/outbox/failed", {}, limit)
    print_items(items, FAILED_EVENT_COLUMNS, json=json, more=more)


def retry_failed_events_command(*, expect: Expect, url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Retry all failed events."""
    body = call_api("POST", url, "/outbox/failed/retry", body={"expected_count": expect})
    if json:
        print_json(body)
    else:
        print(f"{format_value(body.get('requested'))} events will be retried")
