"""Invariants of client responses: I1 durability, I10 idempotent creation, I11 final cancels, I15 no foreign orders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from gofleet.adapters.postgres.snapshot import VERIFY
from gofleet.domain.order import Status
from gofleet.domain.values import IDENTIFIER
from gofleet.verification.checks import InvariantResult, invariant_check
from gofleet.verification.sources import LedgerEntry, Source, Sources

Content = tuple[Any, ...]
CONFLICT = 409
UNRELATED_FIELDS = {"driver_id", "type", "title", "status", "reason", "request_id", "trace_id"}
"""Response fields that contain no order id; a driver may have the same id as an order."""


@dataclass(frozen=True)
class StoredOrder:
    """An order in PostgreSQL; `content` is what its create request contained."""

    content: Content
    status: Status


async def _stored_orders(sources: Sources, entries: list[LedgerEntry]) -> dict[str, StoredOrder]:
    ids = list({entry.order_id for entry in entries})
    return {
        row[0]: StoredOrder((row[1], row[2], *row[3:7]), Status(row[7]))
        async for row in sources.rows(VERIFY.accepted, ids=ids)
    }


def _content(entry: LedgerEntry) -> Content:
    """Content of a create request, comparable with `StoredOrder.content`; None for values that are not readable."""
    request = entry.request or {}
    pickup, dropoff = request.get("pickup"), request.get("dropoff")
    return (_number(request.get("price")), _number(request.get("tax")), *_place(pickup), *_place(dropoff))


def _body(entry: LedgerEntry) -> dict[str, object]:
    """Response body; empty if it is not a JSON object."""
    return cast("dict[str, object]", entry.response) if isinstance(entry.response, dict) else {}


def _number(value: object) -> Decimal | None:
    return Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None


def _place(value: object) -> tuple[float | None, float | None]:
    if not isinstance(value, dict):
        return None, None
    point = cast("dict[str, object]", value)
    lat, lng = _number(point.get("lat")), _number(point.get("lng"))
    return None if lat is None else float(lat), None if lng is None else float(lng)


@invariant_check("I1", Source.POSTGRES, Source.LEDGER)
async def creates_durable(sources: Sources, result: InvariantResult) -> None:
    """Each create answered with 2xx has an order with the requested amounts and places."""
    for page in sources.ledger.pages():
        creates = [entry for entry in page if entry.act == "create" and entry.succeeded]
        orders = await _stored_orders(sources, creates)
        for entry in creates:
            if (order := orders.get(entry.order_id)) is None:
                result.add(entry.order_id, f"was answered {entry.status} at {entry.at} and does not exist")
            elif order.content != _content(entry):
                result.add(entry.order_id, f"was requested with {_content(entry)} and is stored with {order.content}")


@invariant_check("I1", Source.POSTGRES, Source.LEDGER)
async def deliveries_durable(sources: Sources, result: InvariantResult) -> None:
    """Each deliver answered with 2xx is in the history."""
    for page in sources.ledger.pages():
        ids = {entry.order_id for entry in page if entry.act == "deliver" and entry.succeeded}
        delivered = {row[0] async for row in sources.rows(VERIFY.delivered, ids=list(ids))}
        for order_id in sorted(ids - delivered):
            result.add(order_id, "was reported as delivered and never became DELIVERED")


@invariant_check("I1", Source.POSTGRES, Source.LEDGER)
async def changes_durable(sources: Sources, result: InvariantResult) -> None:
    """Each change of data answered with 2xx is in the history, by its version."""
    for page in sources.ledger.pages():
        changes = [entry for entry in page if entry.act == "change" and entry.succeeded]
        ids, versions = [entry.order_id for entry in changes], [str(_body(entry).get("version")) for entry in changes]
        async for row in sources.rows(VERIFY.versions_missing, ids=ids, versions=versions):
            result.add(row[0], f"was reported as changed in version {row[1]}, which it never had")


@invariant_check("I10", Source.LEDGER)
async def creates_idempotent(sources: Sources, result: InvariantResult) -> None:
    """All successful creates of an id have the same content and the same response: the order as it was created.

    The first response for each order is kept in memory.
    """
    first = dict[str, tuple[Content, dict[str, object]]]()
    for entry in sources.ledger:
        if entry.act != "create" or not entry.succeeded:
            continue
        response = _body(entry)
        content, body = first.setdefault(entry.order_id, (_content(entry), response))
        if content != _content(entry):
            result.add(entry.order_id, f"was accepted with {content} and again with {_content(entry)}")
        elif body != response:
            result.add(entry.order_id, f"was answered differently the second time (at {entry.at})")
        elif (response.get("status"), response.get("version")) != (Status.PENDING.value, 1):
            why = f"was answered as {response.get('status')}, version {response.get('version')}"
            result.add(entry.order_id, why)


@invariant_check("I10", Source.POSTGRES, Source.LEDGER)
async def conflicts_real(sources: Sources, result: InvariantResult) -> None:
    """A create is answered with 409 only if the order has different content."""
    for page in sources.ledger.pages():
        conflicts = [entry for entry in page if entry.act == "create" and entry.status == CONFLICT]
        orders = await _stored_orders(sources, conflicts)
        for entry in conflicts:
            if (order := orders.get(entry.order_id)) is None:
                result.add(entry.order_id, f"was answered 409 at {entry.at} and does not exist")
            elif order.content == _content(entry):
                result.add(entry.order_id, f"was answered 409 at {entry.at} and has the requested content")


@invariant_check("I11", Source.POSTGRES, Source.LEDGER)
async def cancels_final(sources: Sources, result: InvariantResult) -> None:
    """A cancel answered with 2xx is final; a refused one came too late."""
    for page in sources.ledger.pages():
        cancels = [entry for entry in page if entry.act == "cancel" and (entry.succeeded or _too_late(entry))]
        orders = await _stored_orders(sources, cancels)
        ids = [entry.order_id for entry in cancels if entry.succeeded]
        dispatched = {row[0] async for row in sources.rows(VERIFY.dispatched_after_cancel, ids=ids)}
        for entry in cancels:
            order = orders.get(entry.order_id)
            status = order.status if order else "missing"
            cancelled = f"was reported as cancelled at {entry.at}"
            if entry.succeeded and entry.order_id in dispatched:
                result.add(entry.order_id, f"{cancelled}, and was dispatched after that")
            elif entry.succeeded and status != Status.CANCELLED:
                result.add(entry.order_id, f"{cancelled}, and is {status}")
            elif not entry.succeeded and status not in {Status.DELIVERED, Status.CANCELLED}:
                result.add(entry.order_id, f"could not be cancelled at {entry.at}, and is {status}")


def _too_late(entry: LedgerEntry) -> bool:
    """Whether the order's status was the reason of the refusal. The other 409 is a lost race, which proves nothing."""
    return entry.status == CONFLICT and not str(_body(entry).get("type", "")).endswith("stale-order")


@invariant_check("I15", Source.LEDGER)
async def own_orders_only(sources: Sources, result: InvariantResult) -> None:
    """A response mentions only the requested order. The ids of all orders are kept in memory."""
    orders = {entry.order_id for entry in sources.ledger}
    for entry in sources.ledger:
        response = _body(entry)
        if entry.succeeded and response.get("id") != entry.order_id:
            result.add(entry.order_id, f"{entry.act} was answered with order {response.get('id')}")
        elif others := {word for text in _texts(response) for word in _words(text)} & orders - {entry.order_id}:
            result.add(entry.order_id, f"the response to {entry.act} mentions {', '.join(sorted(others))}")


def _texts(value: object, field: str = "") -> Iterator[str]:
    """All strings of a response that could contain an order id."""
    match value:
        case str() if field not in UNRELATED_FIELDS:
            yield value
        case dict():
            for name, inner in cast("dict[str, object]", value).items():
                yield from _texts(inner, name)
        case list():
            for inner in cast("list[object]", value):
                yield from _texts(inner, field)
        case _:
            pass


def _words(text: str) -> Iterator[str]:
    for word in re.findall(IDENTIFIER, text):
        yield word
        yield word.rstrip(".:")  # an id at the end of a sentence


CHECKS = (
    creates_durable,
    deliveries_durable,
    changes_durable,
    creates_idempotent,
    conflicts_real,
    cancels_final,
    own_orders_only,
)
