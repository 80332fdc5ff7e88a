"""`gofleet certs`: certificates for development."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def certs(
    folder: Annotated[Path, Parameter(help="Where to write them; files of the same names are replaced.")] = Path(
        "certs"
    ),
) -> None:
    """Make an authority and certificates: for fleet, api and worker, to encrypt and to guard the gRPC link with, and
    for a PostgreSQL, a RabbitMQ and a Redis that they reach by encrypted links.

    For development: the authority's key is not kept, so a further certificate means all of them anew. They hold for a
    year. GRPC_TLS_CA, GRPC_TLS_CERT and GRPC_TLS_KEY name those of a role; DB_SSLROOTCERT, RABBITMQ_TLS_CA and
    REDIS_TLS_CA the authority of the servers.
    """
    from gofleet.embedded.certificates import make_certificates

    for file in make_certificates(folder):
        print(file)
