"""What people and other systems do with an order. Each verb done twice is done once: it answers the same again.

`If-Match` with the ETag of the order as the client saw it keeps a client from moving an order that has changed
meanwhile (412). A verb that was done before is answered before that is compared: whoever did not hear our answer
asks again with the tag they had. To redispatch is done only for as long as the order waits: without a tag, asking
again takes it off the next driver.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation

from gofleet.adapters.http.access import CallerPart
from gofleet.adapters.http.answers import Answer
from gofleet.adapters.http.etags import required_versions_of, tag_of, versions_of
from gofleet.adapters.http.parameters import IfMatch, OrderId, parameter_id
from gofleet.adapters.http.problem_types import Slug
from gofleet.adapters.http.problems import BODY, documented
from gofleet.adapters.http.schemas.orders import AssignOrder, OrderView, present
from gofleet.domain.actor import Actor
from gofleet.domain.ids import identifier
from gofleet.domain.order import Order, Owner
from gofleet.usecases.transition_order import Versions

REFUSALS = (
    Slug.MALFORMED_TAG,
    Slug.NO_SUCH_ORDER,
    Slug.INVALID_TRANSITION,
    Slug.STALE_ORDER,
    Slug.VERSION_MISMATCH,
    Slug.INVALID,
)
MOVED = {200: Answer(OrderView, description="The order after it.", headers=("ETag",))}


class TransitionCall(Protocol):
    def __call__(
        self, order_id: str, versions: Versions = None, *, by: Actor, owner: Owner | None = None
    ) -> Awaitable[Order]: ...


class DispatchManuallyCall(Protocol):
    def __call__(self, order_id: str, driver_id: str, versions: Versions, *, by: Actor) -> Awaitable[Order]: ...


@post(
    "/{order_id:str}/cancel",
    status_code=200,
    operation_id="cancelOrder",
    summary="Cancel an order",
    responses=MOVED | documented(*REFUSALS),
)
async def cancel(
    order_id: OrderId,
    caller: CallerPart,
    cancel_order: NamedDependency[SkipValidation[TransitionCall]],
    if_match: IfMatch = None,
) -> Response[OrderView]:
    """Call the delivery off. Cancelling a cancelled order changes nothing and answers the same."""
    order_id, versions = parameter_id("order_id", order_id), versions_of(if_match)
    return _moved(await cancel_order(order_id, versions, by=caller.actor, owner=caller.owner))


@post(
    "/{order_id:str}/deliver",
    status_code=200,
    operation_id="deliverOrder",
    summary="Deliver an order",
    responses=MOVED | documented(*REFUSALS),
)
async def deliver(
    order_id: OrderId,
    caller: CallerPart,
    deliver_order: NamedDependency[SkipValidation[TransitionCall]],
    if_match: IfMatch = None,
) -> Response[OrderView]:
    """The driver handed it over. Delivering a delivered order changes nothing and answers the same."""
    order_id, versions = parameter_id("order_id", order_id), versions_of(if_match)
    return _moved(await deliver_order(order_id, versions, by=caller.actor, owner=caller.owner))


@post(
    "/{order_id:str}/dispatch",
    status_code=200,
    operation_id="dispatchOrder",
    summary="Give an order to a driver by hand",
    responses=MOVED | documented(*BODY, *REFUSALS, Slug.PRECONDITION_REQUIRED, Slug.UNKNOWN_DRIVER, Slug.DRIVER_BUSY),
)
async def dispatch(
    order_id: OrderId,
    data: JSONBody[AssignOrder],
    caller: CallerPart,
    dispatch_by_hand: NamedDependency[SkipValidation[DispatchManuallyCall]],
    if_match: IfMatch = None,
) -> Response[OrderView]:
    """A person gives a PENDING or MANUAL_DISPATCH order to a driver of their choice. `If-Match` is required (428)."""
    order_id, driver_id = parameter_id("order_id", order_id), identifier("driver_id", data.driver_id)
    return _moved(await dispatch_by_hand(order_id, driver_id, required_versions_of(if_match), by=caller.actor))


@post(
    "/{order_id:str}/redispatch",
    status_code=200,
    operation_id="redispatchOrder",
    summary="Let an order be tried again",
    responses=MOVED | documented(*REFUSALS),
)
async def redispatch(
    order_id: OrderId,
    caller: CallerPart,
    redispatch_order: NamedDependency[SkipValidation[TransitionCall]],
    if_match: IfMatch = None,
) -> Response[OrderView]:
    """A MANUAL_DISPATCH or DISPATCHED order waits for the workers again; its driver, if any, is taken off it."""
    order_id, versions = parameter_id("order_id", order_id), versions_of(if_match)
    return _moved(await redispatch_order(order_id, versions, by=caller.actor, owner=caller.owner))


MOVE_ROUTES = (cancel, deliver, dispatch, redispatch)


def _moved(order: Order) -> Response[OrderView]:
    return Response(present(order), headers={"ETag": tag_of(order.version)})
