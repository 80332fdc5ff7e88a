"""`gofleet openapi`, `asyncapi`, `topology` and `acl`: what goes in and out, described for programs."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter


def openapi() -> None:
    """Print the OpenAPI 3.1 document of the REST API, as a running one serves it."""
    from gofleet.adapters.http.app import openapi_document

    _print(openapi_document())


def asyncapi(
    *,
    here: Annotated[bool, Parameter(help="With the names of queues that the settings here make.", negative="")] = False,
) -> None:
    """Print the AsyncAPI 3.0 document of the events that leave GoFleet over RabbitMQ."""
    from gofleet.adapters.rabbit.asyncapi import asyncapi_document

    if here:
        from gofleet.parts import topology
        from gofleet.settings import load

        _print(asyncapi_document(topology(load())))
    else:
        _print(asyncapi_document())


def topology() -> None:
    """Print exchange, queues, bindings and the roles' users with their rights, as RabbitMQ imports them.

    For RABBITMQ_DECLARE=off, by the settings here. Nobody can log in as these users until you give them passwords:
    `rabbitmqctl change_password`.
    """
    from gofleet.adapters.rabbit.definitions import definitions
    from gofleet.parts import topology as named_here
    from gofleet.settings import load

    settings = load()
    _print(definitions(named_here(settings), settings.broker.vhost))


def acl() -> None:
    """Print what each role's user may do at Redis or Valkey, as a file that `aclfile` names there.

    By the settings here. Nobody can log in, not even as the default user, until you give them passwords.
    """
    from gofleet.parts import acl as acl_here
    from gofleet.settings import load

    print(acl_here(load()), end="")


def _print(document: dict[str, Any]) -> None:
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
