"""`gofleet orders watch`: what happens to orders, as it happens."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from gofleet.cli.api_client import HERE, Item, Url, asked, items_of, quoted
from gofleet.cli.errors import WRONG_CALL, CommandFailed, Failure
from gofleet.cli.event_stream import Stream
from gofleet.cli.output import Json, say, words
from gofleet.cli.params import STATUS, StatusName, is_id, status

WAITING, FINAL = "PENDING", frozenset({"DELIVERED", "CANCELLED"})
NO_ORDER = Failure(
    "it is not clear which order is to get there",
    "--until waits for one order",
    "say `watch ID --until STATUS`",
    exit_code=WRONG_CALL,
)


def watch(
    id: Annotated[str | None, Parameter(help="Only this order, until it is over.", validator=is_id)] = None,
    /,
    *,
    until: Annotated[
        StatusName | None, STATUS, Parameter(help="With an ID: end as soon as the order is there.")
    ] = None,
    type: Annotated[str | None, Parameter(help="Only such events, as orders.dispatched.")] = None,
    bbox: Annotated[
        str | None,
        Parameter(help="Also who moves inside MIN_LNG,MIN_LAT,MAX_LNG,MAX_LAT.", allow_leading_hyphen=True),
    ] = None,
    patience: Annotated[
        float, Parameter(help="Seconds after which a lost connection is given up.", validator=Number(gt=0))
    ] = 120.0,
    url: Url = HERE,
    json: Json = False,
) -> None:
    """Follow order events, a line each, through lost connections; Ctrl-C ends it.

    With an ID it begins with what became of the order so far, and ends when the order is DELIVERED or CANCELLED, or
    where --until says; it fails if the order is over and never got there.
    """
    if id is None and until is not None:
        raise CommandFailed(NO_ORDER)
    # With an ID all its events are needed to know when it is over, so that the type is looked at here.
    query = {"order_id": id, "type": None if id else type, "bbox": bbox}
    stream = Stream(
        url,
        {name: value for name, value in query.items() if value is not None},
        patience_seconds=patience,
        history=(lambda: _timeline(url, id)) if id else tuple,
    )
    course = Course(until and status(until)) if id else None
    for events in stream.events():
        for event in events:
            if course is not None and "sequence" in event and not course.goes_on(event):
                continue
            if type is None or event.get("type", type) == type:
                _tell(event, json=json)
        if course is not None and course.over:
            break
    if course is not None and not course.arrived:
        why = "it is over, and was not where --until says"
        raise CommandFailed(Failure(f"order {id} never got there", why, f"`gofleet orders events {id}` tells more"))


class Course:
    """How far an order has got since it last began to wait."""

    def __init__(self, until: str | None) -> None:
        self._until = until
        self._seen = 0
        self._been: set[str] = set()

    def goes_on(self, event: Item) -> bool:
        """Whether the event is news; remembers it."""
        sequence = event.get("sequence")
        if not isinstance(sequence, int) or sequence <= self._seen:
            return False
        self._seen = sequence
        if event.get("status") == WAITING:
            self._been.clear()
        self._been.add(str(event.get("status")))
        return True

    @property
    def over(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return self.arrived or bool(FINAL & self._been)

    @property
    def arrived(self) -> bool:
        return bool(FINAL & self._been) if self._until is None else self._until in self._been


def _timeline(url: str, id: str) -> list[Item]:
    return items_of(url, asked("GET", url, f"/orders/{quoted(id)}/events"))


def _tell(item: Item, *, json: bool) -> None:
    if json:
        say(item)
    elif "order_id" in item and "sequence" in item:
        why = f" ({words(item.get('reason'))})" if item.get("reason") else ""
        driver = f" {words(item.get('driver_id'))}" if item.get("driver_id") else ""
        by = f"  by {words(item.get('actor'))}" if item.get("actor") else ""
        what = f"{words(item.get('order_id'))}  {words(item.get('status'))}{driver}{why}{by}"
        print(f"{words(item.get('at'))}  {what}".replace("\n", " "), flush=True)
    else:
        print(words(item).replace("\n", " "), flush=True)
