"""What people and other systems do with an order. Each verb done twice is done once: it answers the same again.

`If-Match` with the ETag of the order as the client saw it keeps a client from moving an order that has changed
meanwhile (412). A verb that was done before is answered before that is compared: whoever did not hear our answer
asks again with the tag they had. To redispatch is done only for as long as the order waits: without a tag, asking
again takes it off the next driver.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody, SkipValidation

from gofleet.adapters.http.parameters import parameter_id
from gofleet.adapters.http.problems import documented
from gofleet.adapters.http.schemas import ByHand, OrderView, present
from gofleet.adapters.http.tags import required_versions_of, tag_of, versions_of
from gofleet.domain.ids import identifier
from gofleet.domain.order import Order
from gofleet.usecases.move_order import Versions

IfMatch = Annotated[
    str | None, HeaderParameter(name="If-Match", description='ETag of the order as the client saw it, such as `"3"`')
]
MoveOrder = Callable[[str, Versions], Awaitable[Order]]
DispatchByHand = Callable[[str, str, Versions], Awaitable[Order]]
MOVE_PROBLEMS = documented(400, 404, 409, 412, 422, 503)


@post("/{order_id:str}/cancel", status_code=200, summary="Cancel an order", responses=MOVE_PROBLEMS)
async def cancel(
    order_id: FromPath[str], cancel_order: NamedDependency[SkipValidation[MoveOrder]], if_match: IfMatch = None
) -> Response[OrderView]:
    """Call the delivery off. Cancelling a cancelled order changes nothing and answers the same."""
    return _moved(await cancel_order(parameter_id("order_id", order_id), versions_of(if_match)))


@post("/{order_id:str}/deliver", status_code=200, summary="Deliver an order", responses=MOVE_PROBLEMS)
async def deliver(
    order_id: FromPath[str], deliver_order: NamedDependency[SkipValidation[MoveOrder]], if_match: IfMatch = None
) -> Response[OrderView]:
    """The driver handed it over. Delivering a delivered order changes nothing and answers the same."""
    return _moved(await deliver_order(parameter_id("order_id", order_id), versions_of(if_match)))


@post(
    "/{order_id:str}/dispatch",
    status_code=200,
    summary="Give an order to a driver by hand",
    responses=documented(400, 404, 408, 409, 412, 413, 415, 422, 428, 503),
)
async def dispatch(
    order_id: FromPath[str],
    data: JSONBody[ByHand],
    dispatch_by_hand: NamedDependency[SkipValidation[DispatchByHand]],
    if_match: IfMatch = None,
) -> Response[OrderView]:
    """A person gives a PENDING or MANUAL_DISPATCH order to a driver of their choice. `If-Match` is required (428)."""
    order_id, driver_id = parameter_id("order_id", order_id), identifier("driver_id", data.driver_id)
    return _moved(await dispatch_by_hand(order_id, driver_id, required_versions_of(if_match)))


@post("/{order_id:str}/redispatch", status_code=200, summary="Let an order be tried again", responses=MOVE_PROBLEMS)
async def redispatch(
    order_id: FromPath[str], redispatch_order: NamedDependency[SkipValidation[MoveOrder]], if_match: IfMatch = None
) -> Response[OrderView]:
    """A MANUAL_DISPATCH or DISPATCHED order waits for the workers again; its driver, if any, is taken off it."""
    return _moved(await redispatch_order(parameter_id("order_id", order_id), versions_of(if_match)))


MOVE_ROUTES = (cancel, deliver, dispatch, redispatch)


def _moved(order: Order) -> Response[OrderView]:
    return Response(present(order), headers={"ETag": tag_of(order.version)})
