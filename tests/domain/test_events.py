"""Encoding of events."""

from __future__ import annotations

import msgspec
import pytest

from gofleet.domain.errors import Malformed, UnknownEventType
from gofleet.domain.events import EVENT_TYPES, AnyOrderEvent, DispatchRequested, OrderEvent, from_json, to_json
from gofleet.domain.messages import EVENT_ID, FOR_OTHERS, QUEUES, Delivery, needs_queue
from gofleet.domain.order import Order, Reason, Status
from gofleet.domain.principal import CLIENT, WORKER
from tests.makers import an_order


def every_event() -> list[OrderEvent]:
    manual = an_order("o-2")
    manual.send_to_manual(Reason.NO_DRIVER, by=WORKER)
    manual.redispatch(by=CLIENT)
    cancelled = an_order("o-3", Status.CANCELLED)
    changed = an_order("o-5")
    changed.change({"reference": "A", "metadata": {"shop": "centro"}}, by=CLIENT)
    command = DispatchRequested(order_id="o-4", sequence=1, epoch=1)
    return [
        command,
        *an_order("o-1", Status.DELIVERED).pending_events,
        *manual.pending_events[1:],
        *cancelled.pending_events[1:],
        *changed.pending_events[1:],
    ]


def test_an_event_survives_encoding() -> None:
    for event in every_event():
        assert from_json(to_json(event)) == event


def test_every_event_type_occurs_and_has_a_queue() -> None:
    assert {event.type for event in every_event()} == set(EVENT_TYPES)
    assert {type for types in QUEUES.values() for type in types} | FOR_OTHERS == set(EVENT_TYPES)
    assert {type for type in EVENT_TYPES if not needs_queue(type)} == FOR_OTHERS


def test_amounts_are_exact_json_numbers() -> None:
    assert b'"price":10.10,"tax":0.05,"final_price":10.15' in to_json(
        an_order(price="10.1", tax="0.05").pending_events[0]
    )


def test_unknown_fields_are_ignored() -> None:
    body = to_json(an_order().pending_events[0])

    assert from_json(body[:-1] + b',"later":{"a":1}}') == from_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"{}",
        b"[]",
        b"null",
        b'{"type":"orders.exploded","order_id":"o","sequence":1}',
        b'{"type":"orders.dispatched","order_id":"o","sequence":1}',
        b'{"type":"orders.dispatched","order_id":7,"sequence":1,"driver_id":"d"}',
        b'{"type":"orders.delivered","order_id":"o","sequence":1,"driver_id":"d","version":2}',
        b'{"type":"orders.cancelled","order_id":"' + b"o" * 65 + b'","sequence":1}',
        b'{"type":"orders.dispatched","order_id":"o","sequence":1,"driver_id":"' + b"d" * 65 + b'"}',
        b'{"type":"orders.cancelled","order_id":"o\\n","sequence":1}',
        b'{"type":"orders.cancelled","order_id":"","sequence":1}',
        b'{"type":"orders.cancelled","order_id":"o","sequence":0}',
        b'{"type":"orders.cancelled","order_id":"o","sequence":2147483648}',
        b'{"type":"orders.dispatch_requested","order_id":"o","sequence":1,"epoch":-1}',
        b"\xff\xfe",
        b"\x80\x04\x95.",
        b"[" * 5000,
        b'{"a":' * 5000,
    ],
)
def test_rejects_invalid_events(body: bytes) -> None:
    with pytest.raises(Malformed) as error:
        from_json(body)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("type", ["orders.exploded", "offers.created", "orders.proof_added"])
def test_events_of_a_later_release_are_known_by_their_type(type: str) -> None:
    with pytest.raises(UnknownEventType, match=type):
        from_json(b'{"type":"%s","order_id":"o","sequence":1,"version":2}' % type.encode())


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"orders.dispatched","order_id":"o","sequence":1}',
        b'{"type":"drivers.exploded"}',
        b'{"type":"orders."}',
        b'{"type":"orders.Exploded"}',
        b'{"type":"orders.\\n"}',
        b'{"type":"orders.' + b"x" * 41 + b'"}',
        b'{"type":7}',
        b'["orders.exploded"]',
    ],
)
def test_other_invalid_events_are_not_taken_for_those_of_a_later_release(body: bytes) -> None:
    with pytest.raises(Malformed) as error:
        from_json(body)
    assert not isinstance(error.value, UnknownEventType)


def test_header_and_body_must_have_the_same_event_id() -> None:
    event = an_order().pending_events[0]

    with pytest.raises(Malformed):
        Delivery("orders.created", to_json(event), {EVENT_ID: "another"}).event()
    with pytest.raises(Malformed):
        Delivery("orders.created", to_json(event)).event()
    with pytest.raises(Malformed, match="header is not an identifier"):
        Delivery("orders.created", to_json(event), {EVENT_ID: "x" * 65}).event()
    read: AnyOrderEvent = Delivery("orders.created", to_json(event), {EVENT_ID: str(event.event_id)}).event()
    assert read == event


@pytest.mark.parametrize(("header", "attempt"), [("0", 0), ("3", 3), ("-1", 0), ("x", 0), ("²", 0), ("9" * 50, 0)])
def test_invalid_attempt_headers_count_as_zero(header: str, attempt: int) -> None:
    assert Delivery("q", b"", {"x-attempt": header}).attempt == attempt


@pytest.mark.parametrize(
    ("headers", "is_first"), [({}, True), ({"x-attempt": "0"}, False), ({"x-crashes": "1"}, False), ({"x": "y"}, True)]
)
def test_a_retry_and_a_redelivery_are_no_first_delivery(headers: dict[str, str], is_first: bool) -> None:
    assert Delivery("q", b"", headers).is_first is is_first


def test_an_order_as_read_has_no_pending_events() -> None:
    order: Order = an_order()
    order.pending_events.clear()

    assert order.stored_version == 1


@pytest.mark.parametrize("type", ["4929 1234 5678 9012", "a - at `b`", "two\nlines"])
def test_errors_do_not_quote_the_message(type: str) -> None:
    with pytest.raises(Malformed, match=r"^not an order event: Invalid value - at `\$.type`$"):
        from_json(msgspec.json.encode({"type": type}))
