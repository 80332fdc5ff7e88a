"""`gofleet orders watch`: follows order events as they happen."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from gofleet.cli.api_client import DEFAULT_URL, Url, call_api, items_from, quote_id
from gofleet.cli.errors import INVALID_USAGE, CliError
from gofleet.cli.event_stream import EventStream
from gofleet.cli.output import Json, JsonObject, format_field, format_value, print_json
from gofleet.cli.params import STATUS, StatusName, to_api_status, validate_id

PENDING, FINAL = "PENDING", frozenset({"DELIVERED", "CANCELLED"})


def watch_orders_command(
    id: Annotated[str | None, Parameter(help="Only this order, until it is final.", validator=validate_id)] = None,
    /,
    *,
    until: Annotated[
        StatusName | None, STATUS, Parameter(help="With an ID: end as soon as the order has this status.")
    ] = None,
    type: Annotated[str | None, Parameter(help="Only events of this type, such as orders.dispatched.")] = None,
    bbox: Annotated[
        str | None,
        Parameter(help="Also drivers moving inside MIN_LNG,MIN_LAT,MAX_LNG,MAX_LAT.", allow_leading_hyphen=True),
    ] = None,
    patience: Annotated[
        float, Parameter(help="Seconds of reconnecting before the command fails.", validator=Number(gt=0))
    ] = 120.0,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Follow order events, one per line, and reconnect after connection losses; Ctrl-C ends it.

    With an ID it starts with the order's history and ends when the order is DELIVERED or CANCELLED, or has the status
    of --until; it fails if the order becomes final without that status.
    """
    if id is None and until is not None:
        raise CliError("--until needs an order", "no ID was given", "use `watch ID --until STATUS`", INVALID_USAGE)
    # With an ID all of its events are needed to detect its end, so the type is filtered here.
    query = {"order_id": id, "type": None if id else type, "bbox": bbox}
    stream = EventStream(
        url,
        {name: value for name, value in query.items() if value is not None},
        patience_seconds=patience,
        history=(lambda: _fetch_history(url, id)) if id else tuple,
    )
    progress = OrderProgress(until and to_api_status(until)) if id else None
    for events in stream.events():
        for event in events:
            if progress is not None and "sequence" in event and not progress.add(event):
                continue
            if type is None or event.get("type", type) == type:
                _print_event(event, json=json)
        if progress is not None and progress.finished:
            break
    if progress is not None and not progress.reached:
        why = "it is final, and never had the status of --until"
        raise CliError(f"order {id} did not get there", why, f"see `gofleet orders events {id}`")


class OrderProgress:
    """Statuses of an order since it last became PENDING."""

    def __init__(self, until: str | None) -> None:
        self._until = until
        self._last_sequence = 0
        self._statuses: set[str] = set()

    def add(self, event: JsonObject) -> bool:
        """Record an event; False if it is a duplicate."""
        sequence = event.get("sequence")
        if not isinstance(sequence, int) or sequence <= self._last_sequence:
            return False
        self._last_sequence = sequence
        if event.get("status") == PENDING:
            self._statuses.clear()
        self._statuses.add(str(event.get("status")))
        return True

    @property
    def finished(self) -> bool:
        """Whether the wait is over: the status is reached, or can no longer be."""
        return self.reached or bool(FINAL & self._statuses)

    @property
    def reached(self) -> bool:
        return bool(FINAL & self._statuses) if self._until is None else self._until in self._statuses


def _fetch_history(url: str, id: str) -> list[JsonObject]:
    return items_from(url, call_api("GET", url, f"/orders/{quote_id(id)}/events"))


def _print_event(item: JsonObject, *, json: bool) -> None:
    if json:
        print_json(item)
    elif "order_id" in item and "sequence" in item:
        reason = f" ({format_value(item.get('reason'))})" if item.get("reason") else ""
        driver = f" {format_value(item.get('driver_id'))}" if item.get("driver_id") else ""
        actor = f"  by {format_value(item.get('actor'))}" if item.get("actor") else ""
        text = f"{format_value(item.get('order_id'))}  {format_value(item.get('status'))}{driver}{reason}{actor}"
        print(f"{format_field('at', item.get('at'))}  {text}".replace("\n", " "), flush=True)
    else:
        print(format_value(item).replace("\n", " "), flush=True)
