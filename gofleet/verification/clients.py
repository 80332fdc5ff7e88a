"""What clients were told: I1 durability, I10 idempotent creation, I11 a cancel wins once, I15 nobody else's orders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from gofleet.adapters.postgres.snapshot import VERIFY
from gofleet.domain.order import Status
from gofleet.domain.values import IDENTIFIER
from gofleet.verification.checks import check
from gofleet.verification.findings import InvariantResult
from gofleet.verification.records import Act
from gofleet.verification.sources import Source, Sources

Content = tuple[Any, ...]
CONFLICT = 409
OTHER_PEOPLES = {"driver_id", "type", "title", "status", "reason", "request_id", "trace_id"}
"""Fields of an answer that name no order; a driver may be called like one."""


@dataclass(frozen=True)
class Accepted:
    """An order as PostgreSQL has it; `content` is what was asked for."""

    content: Content
    status: Status


async def _accepted(sources: Sources, acts: list[Act]) -> dict[str, Accepted]:
    ids = list({act.order_id for act in acts})
    return {
        row[0]: Accepted((row[1], row[2], *row[3:7]), Status(row[7]))
        async for row in sources.rows(VERIFY.accepted, ids=ids)
    }


def _content(act: Act) -> Content:
    """What a create asks for, as `Accepted` has it; None where the request says nothing that can be read."""
    asked = act.request or {}
    pickup, dropoff = asked.get("pickup"), asked.get("dropoff")
    return (_number(asked.get("price")), _number(asked.get("tax")), *_place(pickup), *_place(dropoff))


def _body(act: Act) -> dict[str, object]:
    """The answer; empty if it was no JSON object."""
    return cast("dict[str, object]", act.response) if isinstance(act.response, dict) else {}


def _number(value: object) -> Decimal | None:
    return Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None


def _place(value: object) -> tuple[float | None, float | None]:
    if not isinstance(value, dict):
        return None, None
    point = cast("dict[str, object]", value)
    lat, lng = _number(point.get("lat")), _number(point.get("lng"))
    return None if lat is None else float(lat), None if lng is None else float(lng)


@check("I1", Source.POSTGRES, Source.LEDGER)
async def durable(sources: Sources, finding: InvariantResult) -> None:
    """Each create that was answered 2xx has its order, with the money and the places that were asked for."""
    for page in sources.ledger.pages():
        creates = [act for act in page if act.act == "create" and act.done]
        accepted = await _accepted(sources, creates)
        for act in creates:
            if (order := accepted.get(act.order_id)) is None:
                finding.add(act.order_id, f"was answered {act.status} at {act.at} and does not exist")
            elif order.content != _content(act):
                finding.add(act.order_id, f"was asked for with {_content(act)} and is kept with {order.content}")


@check("I1", Source.POSTGRES, Source.LEDGER)
async def deliveries_durable(sources: Sources, finding: InvariantResult) -> None:
    """Each deliver that was answered 2xx is in the history."""
    for page in sources.ledger.pages():
        ids = {act.order_id for act in page if act.act == "deliver" and act.done}
        kept = {row[0] async for row in sources.rows(VERIFY.delivered, ids=list(ids))}
        for order_id in sorted(ids - kept):
            finding.add(order_id, "was answered to be delivered and never became DELIVERED")


@check("I10", Source.LEDGER)
async def replays_alike(sources: Sources, finding: InvariantResult) -> None:
    """All creates of one id that were answered 2xx asked for the same, and were answered the same: as it was created.
    The first answer of each order is kept in memory."""
    first = dict[str, tuple[Content, dict[str, object]]]()
    for act in sources.ledger:
        if act.act != "create" or not act.done:
            continue
        answer = _body(act)
        content, body = first.setdefault(act.order_id, (_content(act), answer))
        if content != _content(act):
            finding.add(act.order_id, f"was accepted with {content} and again with {_content(act)}")
        elif body != answer:
            finding.add(act.order_id, f"was answered differently the second time (at {act.at})")
        elif (answer.get("status"), answer.get("version")) != (Status.PENDING.value, 1):
            finding.add(act.order_id, f"was answered as {answer.get('status')}, version {answer.get('version')}")


@check("I10", Source.POSTGRES, Source.LEDGER)
async def conflicts_real(sources: Sources, finding: InvariantResult) -> None:
    """A create is refused with 409 only if the order has other content."""
    for page in sources.ledger.pages():
        refused = [act for act in page if act.act == "create" and act.status == CONFLICT]
        accepted = await _accepted(sources, refused)
        for act in refused:
            if (order := accepted.get(act.order_id)) is None:
                finding.add(act.order_id, f"was answered 409 at {act.at} and does not exist")
            elif order.content == _content(act):
                finding.add(act.order_id, f"was answered 409 at {act.at} and has the content that was asked for")


@check("I11", Source.POSTGRES, Source.LEDGER)
async def cancels_final(sources: Sources, finding: InvariantResult) -> None:
    """A cancel that was answered 2xx stays; one that was refused came too late."""
    for page in sources.ledger.pages():
        cancels = [act for act in page if act.act == "cancel" and (act.done or _too_late(act))]
        accepted = await _accepted(sources, cancels)
        ids = [act.order_id for act in cancels if act.done]
        undone = {row[0] async for row in sources.rows(VERIFY.dispatched_after_cancel, ids=ids)}
        for act in cancels:
            order = accepted.get(act.order_id)
            now = order.status if order else "nowhere"
            if act.done and act.order_id in undone:
                finding.add(act.order_id, f"was answered to be cancelled at {act.at}, and was dispatched after that")
            elif act.done and now != Status.CANCELLED:
                finding.add(act.order_id, f"was answered to be cancelled at {act.at}, and is {now}")
            elif not act.done and now not in {Status.DELIVERED, Status.CANCELLED}:
                finding.add(act.order_id, f"could not be cancelled at {act.at}, and is {now}")


def _too_late(act: Act) -> bool:
    """Refused for its status. The other 409 is a lost race, after which nothing is certain."""
    return act.status == CONFLICT and not str(_body(act).get("type", "")).endswith("stale-order")


@check("I15", Source.LEDGER)
async def own_orders_only(sources: Sources, finding: InvariantResult) -> None:
    """An answer speaks of no order but the one that was asked for. The ids of all orders are kept in memory."""
    orders = {act.order_id for act in sources.ledger}
    for act in sources.ledger:
        said = _body(act)
        if act.done and said.get("id") != act.order_id:
            finding.add(act.order_id, f"{act.act} was answered with order {said.get('id')}")
        elif others := {word for text in _texts(said) for word in _words(text)} & orders - {act.order_id}:
            finding.add(act.order_id, f"{act.act} was answered with words about {', '.join(sorted(others))}")


def _texts(value: object, field: str = "") -> Iterator[str]:
    """All strings of an answer that could speak of an order."""
    match value:
        case str() if field not in OTHER_PEOPLES:
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
        yield word.rstrip(".:")  # the end of a sentence


CHECKS = (durable, deliveries_durable, replays_alike, conflicts_real, cancels_final, own_orders_only)
