"""Route that changes data of an order; no transition."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol

from litestar import Response, patch
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation

from gofleet.adapters.http.auth import CallerDependency
from gofleet.adapters.http.etags import require_if_match
from gofleet.adapters.http.problem_types import ProblemType
from gofleet.adapters.http.problems import BODY_PROBLEMS, problem_responses
from gofleet.adapters.http.routes.orders import ORDER_CHANGED, litestar_response, transition_response
from gofleet.adapters.http.schemas.orders import OrderChanges, OrderView
from gofleet.adapters.http.validation import IfMatch, OrderIdPath, parse_identifier
from gofleet.domain.order import Order, Owner
from gofleet.domain.principal import Actor
from gofleet.usecases.transitions import Versions


class ChangeOrderCall(Protocol):
    def __call__(
        self, order_id: str, wanted: Mapping[str, Any], versions: Versions, *, by: Actor, owner: Owner | None = None
    ) -> Awaitable[Order]: ...


@patch(
    "/{order_id:str}",
    operation_id="changeOrder",
    summary="Change an order's data",
    responses=ORDER_CHANGED
    | problem_responses(
        *BODY_PROBLEMS,
        ProblemType.MALFORMED_TAG,
        ProblemType.NO_SUCH_ORDER,
        ProblemType.ORDER_ENDED,
        ProblemType.STALE_ORDER,
        ProblemType.VERSION_MISMATCH,
        ProblemType.PRECONDITION_REQUIRED,
        ProblemType.TOO_MANY_CHANGES,
    ),
)
async def patch_order(
    order_id: OrderIdPath,
    data: JSONBody[OrderChanges],
    caller: CallerDependency,
    change_order: NamedDependency[SkipValidation[ChangeOrderCall]],
    if_match: IfMatch = None,
) -> Response[OrderView]:
    """Change data of an order that has not ended, by a merge patch (RFC 7396), at most once a second. `If-Match` is
    required (428). No dispatch depends on it. An order that has the values already is returned as it is."""
    order_id, versions = parse_identifier("order_id", order_id), require_if_match(if_match)
    wanted = data.wanted()
    order = await change_order(order_id, wanted, versions, by=caller.actor, owner=caller.owner)
    return litestar_response(transition_response(order))
