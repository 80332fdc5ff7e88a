"""Violations of the invariants about events are found, and nothing else is: I6, I7, I8, I9, I12, I13."""

from __future__ import annotations

import pytest

from gofleet.verification import InvariantState
from tests.verification.world import VerifiedInstallation

PUBLISHED_EVENT = (
    "insert into outbox (event_id, aggregate_id, seq, event_type, payload, published_at)"
    " values (gen_random_uuid(), {}, '{{}}', now())"
)
PARK = "insert into parked (queue, event_id, body, headers, reason, attempts) values ({}, '', '{{}}', 'poison', 6)"


async def test_i6_a_transition_without_an_event(world: VerifiedInstallation) -> None:
    world.remove_from_tap(world.event_id("o-delivered", 3))
    world.execute("delete from outbox where aggregate_id = 'o-delivered' and seq = 3")

    await world.expect_violations("I6", "o-delivered", says="no event for version 3 (DELIVERED)")


async def test_i6_an_event_without_a_transition(world: VerifiedInstallation) -> None:
    world.execute(PUBLISHED_EVENT.format("'o-delivered', 4, 'orders.cancelled'"))

    await world.expect_violations("I6", "o-delivered", says="(orders.cancelled) says version 4", tap=False)


async def test_i6_an_event_of_another_transition(world: VerifiedInstallation) -> None:
    world.execute("update outbox set event_type = 'orders.cancelled' where aggregate_id = 'o-delivered' and seq = 3")

    await world.expect_violations("I6", "o-delivered")


async def test_i6_a_version_of_data_without_an_event(world: VerifiedInstallation) -> None:
    world.update("o-dispatched")
    world.execute("delete from outbox where aggregate_id = 'o-dispatched' and seq = 3")

    await world.expect_violations("I6", "o-dispatched", says="no event for version 3 (DISPATCHED)")


async def test_entries_without_a_kind_are_compared_by_what_they_changed(world: VerifiedInstallation) -> None:
    """Releases before wrote none."""
    world.execute("update order_log set kind = null")
    await world.expect_none()

    world.execute("update outbox set event_type = 'orders.cancelled' where aggregate_id = 'o-delivered' and seq = 3")
    await world.expect_violations("I6", "o-delivered")


async def test_i6_two_events_of_one_transition(world: VerifiedInstallation) -> None:
    world.execute("drop index outbox_one_event_per_version")
    world.execute(PUBLISHED_EVENT.format("'o-delivered', 3, 'orders.delivered'"))

    await world.expect_violations("I6", "o-delivered", says="2 events of version 3", tap=False)


async def test_pruned_events_are_not_missed(world: VerifiedInstallation) -> None:
    world.execute(
        "update orders set created_at = now() - interval '8 days' where id = 'o-delivered'",
        "update order_log set at = now() - interval '8 days' where order_id = 'o-delivered' and version < 3",
        "delete from outbox where aggregate_id = 'o-delivered' and seq < 3",
    )

    await world.expect_none()


async def test_commands_are_no_transitions(world: VerifiedInstallation) -> None:
    """An order that was re-published and then escalated for want of a driver."""
    world.execute(
        "insert into outbox (event_id, kind, aggregate_id, seq, event_type, payload)"
        " values (gen_random_uuid(), 'command', 'o-manual', 1, 'orders.dispatch_requested', '{}')"
    )
    before = len(world.tap)
    await world.publish_events()
    command = world.tap.pop()
    world.tap.insert([line["order_id"] for line in world.tap].index("o-manual") + 1, command)
    world.execute(f"insert into inbox values ('dispatch', '{command['event_id']}', 'skipped:manual_dispatch')")

    assert len(world.tap) == before + 1
    await world.expect_none()


async def test_i7_a_failed_event(world: VerifiedInstallation) -> None:
    world.execute(
        "update outbox set published_at = null, failed_at = now(), attempts = 20, error = 'no queue'"
        " where aggregate_id = 'o-manual' and seq = 2"
    )

    await world.expect_violations("I7", world.event_id("o-manual", 2), says="failed after 20 attempts: no queue")
    await world.expect_violations("I7", world.event_id("o-manual", 2), live=True)


async def test_i7_an_event_that_waits(world: VerifiedInstallation) -> None:
    world.execute("update outbox set published_at = null where aggregate_id = 'o-manual' and seq = 2")

    await world.expect_violations("I7", world.event_id("o-manual", 2))
    await world.expect_none(live=True)
    world.execute("update outbox set created_at = now() - interval '121 s' where published_at is null")
    await world.expect_violations("I7", world.event_id("o-manual", 2), live=True)


async def test_i7_an_event_that_never_left_the_broker(world: VerifiedInstallation) -> None:
    lost = world.event_id("o-manual", 2)
    world.remove_from_tap(lost)

    await world.expect_violations("I7", lost, says="never arrived at the tap")
    await world.expect_none(broker_lost_data=True)


async def test_i8_events_in_another_order(world: VerifiedInstallation) -> None:
    first, second = (
        next(number for number, line in enumerate(world.tap) if line["event_id"] == world.event_id("o-again", sequence))
        for sequence in (2, 3)
    )
    world.tap[first], world.tap[second] = world.tap[second], world.tap[first]

    await world.expect_violations("I8", "o-again", says="(version 2) arrived after version 3")


async def test_i8_repeated_events_may_come_at_any_time(world: VerifiedInstallation) -> None:
    world.tap += world.tap

    await world.expect_none()


@pytest.mark.parametrize("event_id", ["60c843d4-7e7e-4c74-9705-8fbebfd59c62", "not-even-an-id"])
async def test_i9_an_event_that_was_never_committed(world: VerifiedInstallation, event_id: str) -> None:
    world.tap.append({"event_id": event_id, "type": "orders.cancelled", "order_id": "o-manual", "sequence": 3})

    await world.expect_violations("I9", event_id, says="o-manual")


async def test_i12_an_event_that_was_not_handled(world: VerifiedInstallation) -> None:
    announcement = world.event_id("o-manual")
    world.execute(f"delete from inbox where event_id = '{announcement}'")

    await world.expect_violations("I12", announcement, says="neither handled nor parked")
    await world.expect_none(broker_lost_data=True)  # the order was escalated without it
    world.execute(PARK.format(f"'orders.created', '{announcement}'"))
    await world.expect_none()


async def test_i12_no_loss_explains_an_order_that_still_waits(world: VerifiedInstallation) -> None:
    await world.add("o-waiting")
    await world.publish_events()

    await world.expect_violations("I2 I12", world.event_id("o-waiting"), broker_lost_data=True)
    world.update("o-waiting")
    await world.publish_events()
    await world.expect_violations("I2 I12", world.event_id("o-waiting"), broker_lost_data=True)


async def test_i13_parked_messages_are_reported_without_a_violation(world: VerifiedInstallation) -> None:
    world.execute(PARK.format("'orders.created', null"), PARK.format("'fleet.drivers.parking', null"))

    report = await world.expect_none()

    (parked,) = [each for each in report.results if each.id == "I13"]
    assert parked.verdict is InvariantState.HOLDS
    assert parked.notes == [
        "1 parked from fleet.drivers.parking, for example: poison",
        "1 parked from orders.created, for example: poison",
    ]


async def test_i13_a_message_parked_from_nowhere(world: VerifiedInstallation) -> None:
    world.execute(PARK.format("'orders.unheard', null"))

    await world.expect_violations("I13", "1", says="orders.unheard, which is no queue of ours")


async def test_i13_an_order_that_waits_for_a_parked_message(world: VerifiedInstallation) -> None:
    await world.add("o-waiting")
    await world.publish_events()
    world.execute(PARK.format(f"'orders.created', '{world.event_id('o-waiting')}'"))

    await world.expect_violations("I2 I13", "o-waiting", says="its orders.created is parked: poison")
    world.update("o-waiting")
    await world.publish_events()
    await world.expect_violations("I2 I13", "o-waiting", says="its orders.created is parked: poison")
    await world.expect_none(live=True)  # the sweeper will announce it again
