"""The AsyncAPI 3.0 document of the events that GoFleet publishes over RabbitMQ, generated from events and topology.

A subscriber declares its own queue and binds it to the exchange with routing keys; the queue receives each event at
least once, the events of one order in order. The queues described in the document are GoFleet's own.
"""

from __future__ import annotations

from typing import Any, get_args

from faststream.rabbit import RabbitExchange

from gofleet import __version__
from gofleet.adapters.json_schema import REFERENCE, example_of, schemas_of
from gofleet.adapters.rabbit.topology import Topology
from gofleet.domain import messages
from gofleet.domain.events import AnyOrderEvent, OrderEvent
from gofleet.domain.messages import Message

Json = dict[str, Any]
BINDING = "0.3.0"
VHOST = "/"
DESCRIPTION = """\
Every status change of an order publishes one event, committed in the same transaction: no event is lost or invented.
An event may arrive more than once (deduplicate by `x-event-id`); the events of one order are published in order
(`x-sequence`). Declare a queue of your own and bind it to the exchange with the routing keys you want, or `orders.*`
for all. Ignore unknown fields and types: new ones are added without a new `version`."""
HEADERS: dict[str, tuple[str, Json]] = {
    messages.EVENT_ID: ("The event's id; deduplicate by it.", {"format": "uuid"}),
    messages.EVENT_TYPE: ("Equal to the routing key and to `type` in the payload.", {}),
    messages.EVENT_VERSION: ("Equal to `version` in the payload.", {"pattern": "^[1-9][0-9]*$"}),
    messages.AGGREGATE_ID: ("Equal to `order_id` in the payload.", {}),
    messages.SEQUENCE: ("Equal to `sequence` in the payload.", {"pattern": "^[1-9][0-9]*$"}),
    messages.TRACEPARENT: ("W3C trace context of the request that caused the event.", {}),
    messages.ATTEMPT: (
        "Earlier attempts, of retries and replays in GoFleet's own queues.",
        {"pattern": "^[0-9]+$"},
    ),
    messages.CRASHES: ("Number of consumers lost while they had it, in GoFleet's own queues.", {"pattern": "^[0-9]+$"}),
}
OPTIONAL_HEADERS = {messages.TRACEPARENT, messages.ATTEMPT, messages.CRASHES}
EVENTS: dict[str, type[OrderEvent]] = {str(event.__struct_config__.tag): event for event in get_args(AnyOrderEvent)}
"""Routing key -> event."""


def asyncapi_document(topology: Topology | None = None) -> Json:
    """The document; it needs no connection."""
    topology = topology or Topology()
    schemas = _schemas()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "GoFleet",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "rabbitmq": {
                "host": "localhost:5672",
                "pathname": VHOST,
                "protocol": "amqp",
                "protocolVersion": "0.9.1",
                "description": "RabbitMQ 3.10 or newer (`RABBITMQ_HOST`, `AMQP_PORT`).",
            }
        },
        "channels": {_id(key): _routing(key, event, topology.exchange) for key, event in EVENTS.items()}
        | {f"{_id(queue)}Queue": _queue(queue, keys, topology) for queue, keys in topology.queues.items()},
        "operations": {f"publish{event.__name__}": _publish(key, event) for key, event in EVENTS.items()}
        | {f"consume{_capital(_id(queue))}": _consume(queue, keys) for queue, keys in topology.queues.items()},
        "components": {
            "messages": {event.__name__: _message(key, event, schemas) for key, event in EVENTS.items()},
            "schemas": schemas,
        },
    }


def _id(name: str) -> str:
    """`orders.manual_dispatch` as `ordersManualDispatch`."""
    first, *others = name.replace(".", "_").split("_")
    return first + "".join(map(_capital, others))


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


def _routing(key: str, event: type[OrderEvent], exchange: RabbitExchange) -> Json:
    binding = {
        "is": "routingKey",
        "exchange": {
            "name": exchange.name,
            "type": exchange.type.value,
            "durable": exchange.durable,
            "autoDelete": exchange.auto_delete,
            "vhost": VHOST,
        },
        "bindingVersion": BINDING,
    }
    return {
        "address": key,
        "description": f"Routing key `{key}` of the exchange.",
        "messages": _named(event),
        "bindings": {"amqp": binding},
    }


def _queue(name: str, keys: tuple[str, ...], topology: Topology) -> Json:
    queue = topology.queue(name)
    binding = {
        "is": "queue",
        "queue": {
            "name": queue.name,
            "durable": queue.durable,
            "exclusive": queue.exclusive,
            "autoDelete": queue.auto_delete,
            "vhost": VHOST,
        },
        "bindingVersion": BINDING,
    }
    return {
        "address": queue.name,
        "description": f"GoFleet's own queue, bound with {', '.join(f'`{key}`' for key in keys)}.",
        "messages": _named(*(EVENTS[key] for key in keys)),
        "bindings": {"amqp": binding},
    }


def _named(*events: type[OrderEvent]) -> Json:
    return {event.__name__: {"$ref": f"#/components/messages/{event.__name__}"} for event in events}


def _publish(key: str, event: type[OrderEvent]) -> Json:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{_id(key)}"},
        "summary": f"The relay publishes it: {_first_line(event)}",
        "messages": [{"$ref": f"#/channels/{_id(key)}/messages/{event.__name__}"}],
        "bindings": {
            "amqp": {"deliveryMode": 2, "mandatory": messages.needs_queue(key), "ack": True, "bindingVersion": BINDING}
        },
    }


def _consume(queue: str, keys: tuple[str, ...]) -> Json:
    channel = f"#/channels/{_id(queue)}Queue"
    return {
        "action": "receive",
        "channel": {"$ref": channel},
        "summary": "A GoFleet role handles each message once and acknowledges it after its commit.",
        "messages": [{"$ref": f"{channel}/messages/{EVENTS[key].__name__}"} for key in keys],
        "bindings": {"amqp": {"ack": True, "bindingVersion": BINDING}},
    }


def _message(key: str, event: type[OrderEvent], schemas: Json) -> Json:
    name = event.__name__
    payload: Json = example_of(schemas[name], schemas)
    message = Message(payload["event_id"], key, payload["order_id"], payload["sequence"], b"")
    return {
        "name": key,
        "title": _first_line(event),
        "contentType": "application/json",
        "headers": _headers(key),
        "payload": {"$ref": REFERENCE + name},
        "bindings": {"amqp": {"messageType": key, "bindingVersion": BINDING}},
        "examples": [{"headers": message.headers(), "payload": payload}],
    }


OPTIONAL_FIELDS = frozenset({"reference", "metadata"})


def _headers(key: str) -> Json:
    properties: Json = {name: {"type": "string", "description": text, **more} for name, (text, more) in HEADERS.items()}
    properties[messages.EVENT_TYPE]["const"] = key
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in HEADERS if name not in OPTIONAL_HEADERS],
    }


def _schemas() -> Json:
    """The schemas of the payloads as they are sent: every field is present but those that a client may leave out."""
    schemas = schemas_of(EVENTS.values())
    for schema in schemas.values():
        schema["required"] = [name for name in schema["properties"] if name not in OPTIONAL_FIELDS]
        for field in schema["properties"].values():
            field.pop("default", None)
            if field.get("format") == "decimal":
                field["type"] = "number"  # as `to_json` writes them; msgspec's default is a string
    return schemas


def _first_line(event: type[OrderEvent]) -> str:
    return (event.__doc__ or "").splitlines()[0]
