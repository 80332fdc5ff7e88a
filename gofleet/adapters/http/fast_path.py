"""The short way of a new order, and of its delivery: past the framework, whose general machinery costs more than all
that an order needs.

What is asked and answered is the same to the byte; whatever is out of the ordinary goes the usual way.
"""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec

from gofleet.adapters.http.asgi import ASGIApp, Receive, Scope, Send, header, respond
from gofleet.adapters.http.auth import Authenticator
from gofleet.adapters.http.error_handler import problem_headers, problem_of
from gofleet.adapters.http.etags import etag_of
from gofleet.adapters.http.problems import MEDIA_TYPE
from gofleet.adapters.http.routes.orders import (
    CreateOrderCall,
    OrderResponse,
    TransitionCall,
    creation_response,
    order_from,
)
from gofleet.adapters.http.schemas.orders import NewOrder, order_view
from gofleet.adapters.http.validation import decode_body
from gofleet.domain.values import IDENTIFIER

NEW_ORDER = "/api/v1/orders"
BEFORE, BEHIND = f"{NEW_ORDER}/", "/deliver"
DELIVERY = f"{BEFORE}{{order_id}}{BEHIND}"
JSON = "application/json"
_encoder = msgspec.json.Encoder()


class FastPath:
    """`POST /api/v1/orders` by `create_order`, `POST /api/v1/orders/{order_id}/deliver` by `deliver_order`; all else by
    `usual`, and so is what is special about one of these."""

    def __init__(
        self,
        framework: ASGIApp,
        create_order: CreateOrderCall,
        deliver_order: TransitionCall,
        authenticator: Authenticator | None = None,
    ) -> None:
        self._usual = framework
        self._door = authenticator or Authenticator()
        self._create_order = create_order
        self._deliver_order = deliver_order

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _is_new_order(scope):
            scope["path_template"] = NEW_ORDER
            await _answer(scope, send, self._created(scope, receive))
        elif order_id := _delivered(scope):
            scope["path_template"] = DELIVERY
            await _answer(scope, send, self._moved(scope, order_id))
        else:
            await self._usual(scope, receive, send)

    async def _created(self, scope: Scope, receive: Receive) -> OrderResponse:
        caller = await self._door.authenticate(scope, "createOrder")
        asked = order_from(decode_body(await _body(receive), NewOrder), caller)
        return creation_response(*await self._create_order(asked, own=caller.owner is not None))

    async def _moved(self, scope: Scope, order_id: str) -> OrderResponse:
        caller = await self._door.authenticate(scope, "deliverOrder")
        order = await self._deliver_order(order_id, by=caller.actor, owner=caller.owner)
        return OrderResponse(200, order_view(order), {"ETag": etag_of(order.version)})


async def _answer(scope: Scope, send: Send, answering: Awaitable[OrderResponse]) -> None:
    try:
        answer = await answering
    except Exception as error:  # whatever it is, the client is told, as the usual way would
        problem = problem_of(error, scope["state"]["request_id"])
        body = _encoder.encode(problem)
        await respond(send, problem.status, MEDIA_TYPE, body, *problem_headers(error).items())
    else:
        await respond(send, answer.status, JSON, _encoder.encode(answer.view), *answer.headers.items())


def _is_new_order(scope: Scope) -> bool:
    """As nearly every client sends one."""
    return (
        _is_post(scope)
        and scope["path"] == NEW_ORDER
        and header(scope, b"content-type") == JSON
        and (header(scope, b"content-length") or "0") != "0"
    )


def _delivered(scope: Scope) -> str | None:
    """The id of the order, if that is what is asked for, whichever version it has."""
    if not _is_post(scope) or header(scope, b"if-match") is not None:
        return None
    order_id = scope["path"].removeprefix(BEFORE).removesuffix(BEHIND)
    return order_id if scope["path"] == f"{BEFORE}{order_id}{BEHIND}" and IDENTIFIER.fullmatch(order_id) else None


def _is_post(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["method"] == "POST" and not scope["query_string"]


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    return body
