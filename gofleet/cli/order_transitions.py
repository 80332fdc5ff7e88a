"""`gofleet orders cancel`, `deliver`, `dispatch`, `redispatch`: what people do with an order."""

from __future__ import annotations

import sys

from gofleet.cli.api_client import HERE, Item, Remote, Url, quoted
from gofleet.cli.orders import COLUMNS
from gofleet.cli.output import Json, show, words
from gofleet.cli.params import Id, Version


def cancel(id: Id, /, *, if_match: Version = None, url: Url = HERE, json: Json = False) -> None:
    """Call the delivery off. Twice is once."""
    _move("cancel", id, if_match, url, json=json)


def deliver(id: Id, /, *, if_match: Version = None, url: Url = HERE, json: Json = False) -> None:
    """Say that the driver handed it over. Twice is once."""
    _move("deliver", id, if_match, url, json=json)


def redispatch(id: Id, /, *, if_match: Version = None, url: Url = HERE, json: Json = False) -> None:
    """Let the order be tried again; its driver, if any, is taken off it. Only with --if-match is twice once."""
    _move("redispatch", id, if_match, url, json=json)


def dispatch(
    id: Id,
    driver: Id,
    /,
    *,
    if_match: Version = None,
    url: Url = HERE,
    json: Json = False,
) -> None:
    """Give the order to a driver of your choice, for exactly the version that you saw.

    Without --if-match it reads the order first, shows what it decides on, and decides on that version.
    """
    with Remote(url) as remote:
        path = f"/orders/{quoted(id)}"
        if if_match is None:
            seen = remote.ask("GET", path)
            if_match = int(seen["version"])
            print(_decision(seen, driver), file=sys.stderr)
        body = {"driver_id": driver}
        order = remote.ask("POST", f"{path}/dispatch", body=body, if_match=if_match)
    show([order], COLUMNS, json=json)


def _move(verb: str, id: str, if_match: int | None, url: str, *, json: bool) -> None:
    with Remote(url) as remote:
        order = remote.ask("POST", f"/orders/{quoted(id)}/{verb}", if_match=if_match)
    show([order], COLUMNS, json=json)


def _decision(order: Item, driver: str) -> str:
    why = f" ({words(order.get('reason'))})" if order.get("reason") else ""
    held = f" of {words(order.get('driver_id'))}" if order.get("driver_id") else ""
    state = f"{words(order.get('status'))}{why}{held}, version {words(order.get('version'))}"
    return f"order {words(order.get('id'))} is {state}; it goes to {driver}"
