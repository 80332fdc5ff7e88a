"""Commands that generate documents and files: OpenAPI, AsyncAPI, RabbitMQ definitions, Redis ACL, certificates and
shell completion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

Shell = Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Target shell.")]


def openapi_command() -> None:
    """Print the OpenAPI 3.1 document of the REST API, as a running API serves it."""
    print(_shipped_document("openapi.json"), end="")


def asyncapi_command(
    *,
    here: Annotated[bool, Parameter(help="With the queue names of the settings here.", negative="")] = False,
) -> None:
    """Print the AsyncAPI 3.0 document of the events that GoFleet publishes over RabbitMQ."""
    if not here:
        print(_shipped_document("asyncapi.json"), end="")
        return
    from gofleet.adapters.rabbit.asyncapi import asyncapi_document
    from gofleet.adapters.rabbit.topology import topology_of
    from gofleet.settings import load

    _print_document(asyncapi_document(topology_of(load())))


def topology_command() -> None:
    """Print RabbitMQ definitions: exchange, queues, bindings, and a user with its permissions for each role.

    For RABBITMQ_DECLARE=off, from the settings here. The users have no password, so they cannot log in until
    `rabbitmqctl change_password` sets one.
    """
    from gofleet.adapters.rabbit.definitions import definitions
    from gofleet.adapters.rabbit.topology import topology_of
    from gofleet.settings import load

    settings = load()
    _print_document(definitions(topology_of(settings), settings.broker.vhost))


def acl_command() -> None:
    """Print the ACL file of Redis or Valkey (setting `aclfile`), with a user for each role.

    From the settings here. No user can log in, including the default user, until passwords are set.
    """
    from gofleet.adapters.redis.acl import acl_of
    from gofleet.settings import load

    print(acl_of(load()), end="")


def certs_command(
    folder: Annotated[Path, Parameter(help="Target folder; existing files of the same names are replaced.")] = Path(
        "certs"
    ),
) -> None:
    """Generate development certificates: a CA, and certificates for fleet, api, worker, PostgreSQL, RabbitMQ and Redis.

    The CA's key is not stored, so an additional certificate requires a new set. The certificates are valid for a year.
    Roles use GRPC_TLS_CA, GRPC_TLS_CERT and GRPC_TLS_KEY for gRPC, and DB_SSLROOTCERT, RABBITMQ_TLS_CA and REDIS_TLS_CA
    for the servers' CA.
    """
    from gofleet.embedded.certificates import make_certificates

    for file in make_certificates(folder):
        print(file)


def completion_command(
    shell: Shell = "bash",
    /,
    *,
    install: Annotated[bool, Parameter(help="Install the script for new shells.", negative="")] = False,
) -> None:
    """Print a shell completion script: `source <(gofleet completion bash)`."""
    from gofleet.cli import app

    if install:
        print(f"installed {app.install_completion(shell=shell)}; it applies to new shells")
    else:
        print(app.generate_completion(shell=shell))


def _shipped_document(name: str) -> str:
    """A contract as it was generated from this version: generating it loads the whole program."""
    from gofleet.files import shipped

    return (shipped("proto") / name).read_text(encoding="utf-8")


def _print_document(document: dict[str, Any]) -> None:
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
