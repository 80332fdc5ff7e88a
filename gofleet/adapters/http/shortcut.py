"""The short way of a new order, and of its delivery: past the framework, whose general machinery costs more than all
that an order needs.

What is asked and answered is the same to the byte; whatever is out of the ordinary goes the usual way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

import msgspec

from gofleet.adapters.http.asgi import ASGIApp, Receive, Scope, Send, header, respond
from gofleet.adapters.http.bodies import decoded
from gofleet.adapters.http.failures import headers_of, problem_of
from gofleet.adapters.http.moves import MoveOrder
from gofleet.adapters.http.orders import CreateOrder, OrderAnswer, accepted
from gofleet.adapters.http.problems import MEDIA_TYPE
from gofleet.adapters.http.schemas import NewOrder, present
from gofleet.adapters.http.tags import tag_of
from gofleet.domain.actor import CLIENT
from gofleet.domain.ids import IDENTIFIER

PATH = "/api/v1/orders"
BELOW = f"{PATH}/"
JSON = "application/json"
_encoder = msgspec.json.Encoder()


class Shortcut:
    """`POST /api/v1/orders` by `create_order`, `POST /api/v1/orders/{order_id}/{verb}` by that of `moves`, all else by
    `usual`."""

    def __init__(self, usual: ASGIApp, create_order: CreateOrder, moves: Mapping[str, MoveOrder]) -> None:
        self._usual = usual
        self._create_order = create_order
        self._moves = moves

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _ordinary(scope):
            await self._usual(scope, receive, send)
        elif scope["path"] == PATH:
            await self._create(scope, receive, send)
        else:
            await self._move(scope, receive, send)

    async def _create(self, scope: Scope, receive: Receive, send: Send) -> None:
        if header(scope, b"content-type") != JSON or (header(scope, b"content-length") or "0") == "0":
            await self._usual(scope, receive, send)
            return

        async def created() -> OrderAnswer:
            asked = decoded(await _body(receive), NewOrder).order(by=CLIENT)
            return accepted(*await self._create_order(asked))

        scope["path_template"] = PATH
        await _answer(scope, send, created())

    async def _move(self, scope: Scope, receive: Receive, send: Send) -> None:
        order_id, _, verb = scope["path"].removeprefix(BELOW).partition("/")
        move = self._moves.get(verb)
        if move is None or header(scope, b"if-match") is not None or not IDENTIFIER.fullmatch(order_id):
            await self._usual(scope, receive, send)
            return

        async def moved() -> OrderAnswer:
            order = await move(order_id, by=CLIENT)
            return OrderAnswer(200, present(order), {"ETag": tag_of(order.version)})

        scope["path_template"] = f"{BELOW}{{order_id}}/{verb}"
        await _answer(scope, send, moved())


async def _answer(scope: Scope, send: Send, answering: Awaitable[OrderAnswer]) -> None:
    try:
        answer = await answering
    except Exception as error:  # whatever it is, the client is told, as the usual way would
        problem = problem_of(error, scope["state"]["request_id"])
        body = _encoder.encode(problem)
        await respond(send, problem.status, MEDIA_TYPE, body, *headers_of(error).items())
    else:
        await respond(send, answer.status, JSON, _encoder.encode(answer.view), *answer.headers.items())


def _ordinary(scope: Scope) -> bool:
    """Exactly what nearly every client sends. What is special about a request is for the usual way to judge."""
    return (
        scope["type"] == "http"
        and scope["method"] == "POST"
        and scope["path"].startswith(PATH)
        and not scope["query_string"]
    )


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    return body
