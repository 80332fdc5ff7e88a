"""Fingerprints of failures."""

from __future__ import annotations

import pytest

from gofleet.domain.errors import DeadlineExceeded, InvalidTransition, Malformed, OrderNotFound
from gofleet.domain.messages import (
    AGGREGATE_ID,
    ATTEMPT,
    DISPATCH_QUEUE,
    EVENT_ID,
    FLEET_QUEUE,
    QUEUES,
    Delivery,
    home_queue,
    parking_queue,
)
from gofleet.domain.parked import CRASH_LOOP, Cause, HandlingFailure, as_replay


def fingerprint(
    error: Exception, *, order_id: str = "o-1", event_id: str = "e-1", queue: str = DISPATCH_QUEUE, attempt: int = 0
) -> str:
    headers = {EVENT_ID: event_id, AGGREGATE_ID: order_id, ATTEMPT: str(attempt)}
    return HandlingFailure.of(error).fingerprint(Delivery(queue, b"{}", headers))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (OrderNotFound("o-1"), OrderNotFound("someones-order")),
        (InvalidTransition("a", "PENDING", "DELIVERED"), InvalidTransition("b", "PENDING", "DELIVERED")),
        (Malformed("byte 4 of 'x'"), Malformed("byte 17 of 'quite something else'")),
        (
            RuntimeError("driver 0192f0c1-3b7e-7c11-8a5e-0123456789ab failed"),
            RuntimeError("driver 0192f0c1-0000-7c11-8a5e-ba9876543210 failed"),
        ),
        (RuntimeError("order=hers, event=first"), RuntimeError("order=his, event=second")),
        (RuntimeError("   two\n words "), RuntimeError("two words")),
    ],
)
def test_the_fingerprint_ignores_ids_and_numbers(one: Exception, other: Exception) -> None:
    first = fingerprint(one, order_id="hers", event_id="first")
    second = fingerprint(other, order_id="his", event_id="second", attempt=3)

    assert first == second


def test_the_fingerprint_depends_on_type_text_cause_and_queue() -> None:
    sorts = [
        fingerprint(RuntimeError("no space left")),
        fingerprint(RuntimeError("no such table")),
        fingerprint(ValueError("no space left")),
        fingerprint(RuntimeError("no space left"), queue=FLEET_QUEUE),
        fingerprint(DeadlineExceeded(8)),
        fingerprint(Malformed("no space left")),
        CRASH_LOOP.fingerprint(Delivery(DISPATCH_QUEUE, b"")),
    ]

    assert len(set(sorts)) == len(sorts)


def test_the_fingerprint_keeps_an_id_within_a_word() -> None:
    assert fingerprint(RuntimeError("a table is gone"), order_id="t") == fingerprint(
        RuntimeError("a table is gone"), order_id="b"
    )


def test_every_text_has_a_fingerprint() -> None:
    texts = ["", "\0", "\ud800", "9" * 100_000, "'" * 100_000, "a.-:" * 100_000]

    assert all(len(fingerprint(RuntimeError(text), order_id="(*")) == 12 for text in texts)


@pytest.mark.parametrize(
    ("error", "cause"),
    [(Malformed("x"), Cause.MALFORMED), (OrderNotFound("o-1"), Cause.NO_SUCH_ORDER), (KeyError("x"), Cause.FAILED)],
)
def test_every_failure_has_a_cause(error: Exception, cause: Cause) -> None:
    assert HandlingFailure.of(error).cause is cause


def test_a_replay_returns_to_the_work_queue_with_no_attempts() -> None:
    delivery = Delivery(parking_queue(DISPATCH_QUEUE), b"\x00", {EVENT_ID: "e-1", ATTEMPT: "5", "traceparent": "t"})

    assert as_replay(delivery) == Delivery(DISPATCH_QUEUE, b"\x00", {EVENT_ID: "e-1", ATTEMPT: "0", "traceparent": "t"})
    assert [home_queue(parking_queue(queue)) for queue in QUEUES] == list(QUEUES)
