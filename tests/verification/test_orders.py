"""Violations of the invariants about orders are found, and nothing else is: I2, I3, I4, I5, I16."""

from __future__ import annotations

from functools import partial

from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.domain.order import Order
from gofleet.domain.principal import WORKER
from tests.makers import dispatch_to
from tests.verification.world import VerifiedInstallation

EVENT = "insert into outbox (event_id, aggregate_id, seq, event_type, payload) values (gen_random_uuid(), {})"


async def test_i2_an_order_that_waits(world: VerifiedInstallation) -> None:
    await world.add("o-waiting")
    await world.handle_events()

    await world.expect_violations("I2", "o-waiting", says="is PENDING since")
    await world.expect_none(live=True)  # it may still find a driver


async def test_i2_an_order_that_waits_for_too_long_even_under_load(world: VerifiedInstallation) -> None:
    await world.add("o-forgotten")
    await world.handle_events()
    world.execute("update orders set pending_since = now() - interval '131 s' where id = 'o-forgotten'")

    await world.expect_violations("I2", "o-forgotten", live=True)
    world.execute("update orders set pending_since = now() - interval '125 s' where id = 'o-forgotten'")
    await world.expect_none(live=True)


async def test_i2_an_order_escalated_without_a_reason(world: VerifiedInstallation) -> None:
    world.execute("alter table orders drop constraint orders_reason", "update orders set reason = null")

    await world.expect_violations("I2", "o-manual", says="without a reason")


async def test_i3_an_illegal_transition(world: VerifiedInstallation) -> None:
    world.execute(
        "update orders set status = 'DELIVERED', driver_id = 'dora', reason = null, version = 3 where id = 'o-manual'",
        "insert into order_log (order_id, was, became, driver_id, version)"
        " values ('o-manual', 'MANUAL_DISPATCH', 'DELIVERED', 'dora', 3)",
        EVENT.format("'o-manual', 3, 'orders.delivered', '{}'"),
    )
    await world.publish_events()

    await world.expect_violations("I3", "o-manual", says="became DELIVERED from MANUAL_DISPATCH")


async def test_i3_a_history_with_a_gap(world: VerifiedInstallation) -> None:
    world.execute(
        "update order_log set version = 7 where order_id = 'o-manual' and version = 2",
        "update orders set version = 7 where id = 'o-manual'",
        "update outbox set seq = 7 where aggregate_id = 'o-manual' and seq = 2",
    )

    await world.expect_violations(
        "I3", "o-manual", says="version 7 (MANUAL_DISPATCH from PENDING) comes after version 1"
    )


async def test_i3_a_history_with_another_end(world: VerifiedInstallation) -> None:
    world.execute("update orders set driver_id = 'dora' where id = 'o-delivered'")

    await world.expect_violations(
        "I3", "o-delivered", says="DELIVERED of dora at version 3, its history ends with DELIVERED of ana"
    )


async def test_i3_an_order_without_any_history(world: VerifiedInstallation) -> None:
    world.execute(
        "delete from order_log where order_id = 'o-manual'",
        "delete from outbox where aggregate_id = 'o-manual'",
        "delete from inbox where event_id not in (select event_id from outbox)",
    )

    await world.expect_violations("I3", "o-manual", tap=False)


async def test_versions_that_change_only_data_are_legal(world: VerifiedInstallation) -> None:
    """Before, during and after a dispatch, and between two of them."""
    await world.add("o-updated")
    world.update("o-updated")
    for move in (dispatch_to("dora"), Order.redispatch, dispatch_to("dora"), Order.deliver):
        await world.transition("o-updated", move)
        if move is not Order.deliver:
            world.update("o-updated")
    await world.handle_events()

    await world.expect_none()


async def test_i3_a_change_of_an_order_that_has_ended(world: VerifiedInstallation) -> None:
    world.update("o-delivered")
    await world.publish_events()

    await world.expect_violations("I3", "o-delivered", says="became DELIVERED from DELIVERED (version 4)")


async def test_i3_a_version_called_by_another_name(world: VerifiedInstallation) -> None:
    world.execute(
        "update order_log set kind = 'cancelled' where order_id = 'o-delivered' and version = 3",
        "update outbox set event_type = 'orders.cancelled' where aggregate_id = 'o-delivered' and seq = 3",
    )

    await world.expect_violations("I3", "o-delivered", says="version 3 is called cancelled, and became DELIVERED")


async def test_i3_a_driver_changed_by_a_version_of_data(world: VerifiedInstallation) -> None:
    """It is a second dispatch as well, and its driver another one than that of the first."""
    await world.positions.free("ana", "o-dispatched", 3)
    await world.positions.occupy("dora", "o-dispatched", 3)
    world.update("o-dispatched")
    world.execute(
        "update orders set driver_id = 'dora' where id = 'o-dispatched'",
        "update order_log set driver_id = 'dora' where order_id = 'o-dispatched' and version = 3",
    )
    await world.publish_events()

    await world.expect_violations("I3 I4", "o-dispatched", says="has driver dora as DISPATCHED and had ana")


async def test_i4_a_second_dispatch_behind_a_change_of_data(world: VerifiedInstallation) -> None:
    """Which is no reason to dispatch it again."""
    await world.add("o-twice")
    await world.transition("o-twice", dispatch_to("dora"))
    world.update("o-twice")
    await world.handle_events()
    world.execute(
        "insert into order_log (order_id, was, became, driver_id, was_driver_id, version, kind)"
        " values ('o-twice', 'PENDING', 'DISPATCHED', 'dora', null, 4, 'dispatched')",
        "update orders set version = 4 where id = 'o-twice'",
        EVENT.format("'o-twice', 4, 'orders.dispatched', '{}'"),
    )
    await world.publish_events()

    await world.expect_violations("I3 I4", "o-twice", says="dispatched 2 times (to dora, dora)")


async def test_i4_a_second_dispatch(world: VerifiedInstallation) -> None:
    """It is an illegal transition as well."""
    world.execute(
        "update orders set driver_id = 'dora', version = 3 where id = 'o-dispatched'",
        "insert into order_log (order_id, was, became, driver_id, version, kind)"
        " values ('o-dispatched', 'DISPATCHED', 'DISPATCHED', 'dora', 3, 'dispatched')",
        EVENT.format("""'o-dispatched', 3, 'orders.dispatched',
            '{"type": "orders.dispatched", "order_id": "o-dispatched", "sequence": 3, "driver_id": "dora"}'
        """),
    )
    await world.publish_events()
    await world.positions.free("ana", "o-dispatched", 3)
    await world.positions.occupy("dora", "o-dispatched", 3)

    await world.expect_violations("I3 I4", "o-dispatched", says="dispatched 2 times (to ana, dora)")


async def redispatched(world: VerifiedInstallation) -> PostgresOrders:
    """The order o-excluded, taken from dora for ten minutes."""
    await world.add("o-excluded")
    await world.transition("o-excluded", dispatch_to("dora"))
    await world.transition("o-excluded", partial(Order.redispatch, exclusion_seconds=600))
    return PostgresOrders(world.pool)


async def test_i4_an_automatic_dispatch_to_an_excluded_driver(world: VerifiedInstallation) -> None:
    orders = await redispatched(world)
    world.execute("drop trigger refuse_excluded_driver on orders")
    order = await orders.get("o-excluded")
    order.dispatch("dora", by=WORKER)
    await orders.save(order)
    await world.handle_events()

    await world.expect_violations(
        "I4", "o-excluded", says="dispatched automatically to dora (version 4), excluded since"
    )
    world.execute("update order_exclusions set until = (select max(at) from order_log where order_id = 'o-excluded')")
    await world.expect_none()  # it was excluded no more


async def test_i4_a_manual_dispatch_to_an_excluded_driver_is_legal(world: VerifiedInstallation) -> None:
    await redispatched(world)
    await world.transition("o-excluded", dispatch_to("dora"))
    await world.handle_events()

    await world.expect_none()


async def test_i4_a_driver_replaced_without_a_redispatch(world: VerifiedInstallation) -> None:
    world.execute(
        "update orders set driver_id = 'dora' where id = 'o-delivered'",
        "update order_log set driver_id = 'dora' where order_id = 'o-delivered' and became = 'DELIVERED'",
    )

    await world.expect_violations("I4", "o-delivered", says="has driver dora as DELIVERED and had ana")


async def test_i5_a_driver_with_two_orders(world: VerifiedInstallation) -> None:
    world.execute("drop index one_live_order_per_driver")
    await world.transition("o-manual", dispatch_to("ana"))
    await world.handle_events()

    await world.expect_violations("I5", "ana", says="o-manual")


async def test_i5_also_for_finished_orders(world: VerifiedInstallation) -> None:
    world.execute("drop index one_live_order_per_driver")
    await world.transition("o-manual", dispatch_to("ana"))
    for order_id in ("o-manual", "o-dispatched"):
        await world.transition(order_id, Order.deliver)
    await world.handle_events()

    await world.expect_violations("I5", "ana")


async def test_i19_an_order_of_an_unregistered_driver(world: VerifiedInstallation) -> None:
    """Also if it has ended; but not one that an earlier release dispatched."""
    world.execute(
        "update orders set driver_id = 'ghost' where id = 'o-delivered'",
        "update order_log set driver_id = 'ghost' where order_id = 'o-delivered' and driver_id = 'ana'",
    )
    await world.expect_violations("I19", "o-delivered", says="dispatched to ghost, which is not a registered driver")

    world.execute("update order_log set at = at - interval '1 year' where order_id = 'o-delivered'")
    report = await world.verify()
    assert next(each for each in report.results if each.id == "I19").total == 0


async def test_i5_is_judged_by_commits_and_not_by_the_start_of_transactions(world: VerifiedInstallation) -> None:
    """ana's second order began, by the clock, before her first one had ended: it waited for that."""
    world.execute(
        "update order_log set at = at - interval '1 hour'"
        " where order_id = 'o-dispatched' and became = 'DISPATCHED' and driver_id = 'ana'"
    )

    await world.expect_none()


async def test_i16_an_amount_that_is_not_a_number(world: VerifiedInstallation) -> None:
    world.execute("alter table orders drop constraint orders_finite")
    world.execute("update orders set price = 'NaN', final_price = 'NaN' where id = 'o-manual'")

    await world.expect_violations("I16", "o-manual", says="price NaN", ledger=False)


async def test_i16_a_sum_that_is_wrong(world: VerifiedInstallation) -> None:
    world.execute(
        "alter table orders drop constraint orders_money",
        "update orders set final_price = 1 where id = 'o-manual'",
        "update outbox set payload = payload || '{\"final_price\": 1}' where aggregate_id = 'o-manual' and seq = 1",
    )

    await world.expect_violations("I16", "o-manual", says="final price 1.00")


async def test_i16_an_event_with_another_price(world: VerifiedInstallation) -> None:
    world.execute("update orders set price = 50, final_price = 60 where id = 'o-manual'")

    await world.expect_violations("I16", "o-manual", says="orders.created says 100.00 + 10.00", ledger=False)
