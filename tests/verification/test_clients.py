"""Violations of the invariants about clients' responses are found, and nothing else is: I1, I10, I11, I15."""

from __future__ import annotations

from typing import Any

from gofleet.domain.order import Order
from tests.verification.world import VerifiedInstallation


def again(line: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {**line, **changed}


async def test_i1_a_created_order_that_is_missing(world: VerifiedInstallation) -> None:
    (accepted, _) = world.lines("create", "o-delivered")
    request, response = {**accepted["request"], "id": "o-lost"}, {**accepted["response"], "id": "o-lost"}
    world.ledger.append(again(accepted, order_id="o-lost", request=request, response=response))

    await world.expect_violations("I1", "o-lost", says="was answered 201")


async def test_i1_an_order_with_another_price(world: VerifiedInstallation) -> None:
    world.execute(
        "update orders set price = 50, final_price = 60 where id = 'o-delivered'",
        'update outbox set payload = payload || \'{"price": 50, "final_price": 60}\''
        " where aggregate_id = 'o-delivered' and seq = 1",
    )

    await world.expect_violations("I1", "o-delivered", says="50.00")


async def test_i1_an_order_with_another_place(world: VerifiedInstallation) -> None:
    world.execute("update orders set pickup_lat = 1 where id = 'o-delivered'")

    await world.expect_violations("I1", "o-delivered")


async def test_i1_a_delivery_that_is_missing(world: VerifiedInstallation) -> None:
    (delivered,) = world.lines("deliver", "o-delivered")
    world.ledger.append(again(delivered, order_id="o-manual", response={**delivered["response"], "id": "o-manual"}))

    await world.expect_violations("I1", "o-manual", says="never became DELIVERED")


async def test_i10_a_repeated_request_with_another_response(world: VerifiedInstallation) -> None:
    world.lines("create", "o-manual")[1]["response"]["created_at"] = "2020-01-01T00:00:00Z"

    await world.expect_violations("I10", "o-manual", says="answered differently the second time")


async def test_i10_a_repeated_request_with_a_later_status(world: VerifiedInstallation) -> None:
    for line in world.lines("create", "o-manual")[:2]:
        line["response"] |= {"status": "MANUAL_DISPATCH", "version": 2}

    await world.expect_violations("I10", "o-manual", says="as MANUAL_DISPATCH, version 2")


async def test_i10_a_conflict_about_the_same_content(world: VerifiedInstallation) -> None:
    accepted = world.lines("create", "o-manual")[0]
    world.ledger.append(again(accepted, status=409, response={"type": "urn:gofleet:problem:order-taken"}))

    await world.expect_violations("I10", "o-manual", says="has the requested content")


async def test_i10_two_contents_of_one_id(world: VerifiedInstallation) -> None:
    """Only one of them can have been created."""
    replayed = world.lines("create", "o-manual")[1]
    replayed["request"] = {**replayed["request"], "price": 1}

    await world.expect_violations("I1 I10", "o-manual", says="and again with")


async def test_i1_a_change_that_was_answered_and_is_not_in_the_history(world: VerifiedInstallation) -> None:
    world.ledger.append(world.line("change", "o-manual", {"reference": "A"}, 200, {"id": "o-manual", "version": 2}))
    await world.expect_none()

    world.ledger.append(world.line("change", "o-manual", {"reference": "B"}, 200, {"id": "o-manual", "version": 3}))
    await world.expect_violations("I1", "o-manual", says="was reported as changed in version 3")

    for version in ("x", None, 2**70, [2]):
        response = {"id": "o-manual", "version": version}
        world.ledger[-1] = world.line("change", "o-manual", {"reference": "B"}, 200, response)
        await world.expect_violations("I1", "o-manual", says="which it never had")


async def test_i11_a_cancelled_order_that_was_delivered(world: VerifiedInstallation) -> None:
    (cancelled,) = world.lines("cancel", "o-cancelled")
    world.ledger.append(again(cancelled, order_id="o-delivered", response={"id": "o-delivered"}))

    await world.expect_violations("I11", "o-delivered", says="and is DELIVERED")


async def test_i11_a_cancelled_order_that_was_dispatched_after_that(world: VerifiedInstallation) -> None:
    """This transition is illegal as well."""
    await world.add("o-called-off")
    await world.transition("o-called-off", Order.cancel)
    world.execute(
        "insert into order_log (order_id, was, became, driver_id, version)"
        " values ('o-called-off', 'CANCELLED', 'DISPATCHED', 'dora', 3)",
        "update orders set status = 'DISPATCHED', driver_id = 'dora', version = 3 where id = 'o-called-off'",
        "insert into outbox (event_id, aggregate_id, seq, event_type, payload)"
        " values (gen_random_uuid(), 'o-called-off', 3, 'orders.dispatched', '{}')",
        "insert into inbox select 'dispatch', event_id, 'x' from outbox"
        " where aggregate_id = 'o-called-off' and seq = 1",
    )
    await world.publish_events()
    await world.positions.occupy("dora", "o-called-off", 3)
    world.ledger.append(world.line("cancel", "o-called-off", None, 200, {"id": "o-called-off"}))

    await world.expect_violations("I3 I11", "o-called-off", says="was dispatched after that")


async def test_i11_a_refused_cancel_of_a_waiting_order(world: VerifiedInstallation) -> None:
    (refused,) = world.lines("cancel", "o-delivered")
    world.ledger.append(again(refused, order_id="o-dispatched", response={"type": refused["response"]["type"]}))

    await world.expect_violations("I11", "o-dispatched", says="could not be cancelled")


async def test_i11_a_lost_race_is_no_violation(world: VerifiedInstallation) -> None:
    stale = {"type": "urn:gofleet:problem:stale-order"}
    world.ledger.append(world.line("cancel", "o-dispatched", None, 409, stale))

    await world.expect_none()


async def test_i15_a_response_with_an_order_of_another_owner(world: VerifiedInstallation) -> None:
    (shown,) = world.lines("get", "o-manual")
    shown["response"]["id"] = "o-dispatched"

    await world.expect_violations("I15", "o-manual", says="was answered with order o-dispatched")


async def test_i15_an_error_that_names_another_owner(world: VerifiedInstallation) -> None:
    (refused,) = world.lines("cancel", "o-delivered")
    refused["response"]["detail"] = "the driver is busy with o-dispatched."

    await world.expect_violations("I15", "o-delivered", says="o-dispatched")
