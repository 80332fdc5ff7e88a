"""The short way of a new order: past the framework, whose general machinery costs more than all that an order needs.

What is asked and answered is the same to the byte; whatever is out of the ordinary goes the usual way.
"""

from __future__ import annotations

import msgspec

from gofleet.adapters.http.asgi import ASGIApp, Receive, Scope, Send, header, respond
from gofleet.adapters.http.bodies import decoded
from gofleet.adapters.http.failures import headers_of, problem_of
from gofleet.adapters.http.orders import CreateOrder, accepted
from gofleet.adapters.http.problems import MEDIA_TYPE
from gofleet.adapters.http.schemas import NewOrder
from gofleet.domain.actor import CLIENT

PATH = "/api/v1/orders"
JSON = "application/json"
_encoder = msgspec.json.Encoder()


class Shortcut:
    """`POST /api/v1/orders` by `create_order`, all else by `usual`."""

    def __init__(self, usual: ASGIApp, create_order: CreateOrder) -> None:
        self._usual = usual
        self._create_order = create_order

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _ordinary(scope):
            await self._usual(scope, receive, send)
            return
        scope["path_template"] = PATH
        try:
            asked = decoded(await _body(receive), NewOrder).order(by=CLIENT)
            answer = accepted(*await self._create_order(asked))
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
        and scope["path"] == PATH
        and not scope["query_string"]
        and header(scope, b"content-type") == JSON
        and (header(scope, b"content-length") or "0") != "0"
    )


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    return body
