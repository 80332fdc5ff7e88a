"""Both ends of the gRPC link show certificates of one authority of ours; the fleet also says whom it serves."""

from __future__ import annotations

import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

PROTOCOLS = ["h2"]


@dataclass(frozen=True)
class Certificates:
    """PEM files: the authority that both ends trust, and nothing else; this end's certificate and its key."""

    authority: str
    certificate: str
    key: str

    def for_server(self) -> ssl.SSLContext:
        """Callers must have a certificate. OSError (ssl.SSLError among them) if a file cannot be used."""
        context = self._loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def for_client(self) -> ssl.SSLContext:
        """The server's certificate must name the host that is called. OSError as above."""
        return self._loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def _loaded(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # both ends are ours
        context.load_verify_locations(self.authority)
        context.load_cert_chain(self.certificate, self.key)
        context.set_alpn_protocols(PROTOCOLS)
        return context


def names_of(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """The DNS names of a certificate as Python's ssl describes it (RFC 6125: never the common name)."""
    return frozenset(name for kind, name in (certificate or {}).get("subjectAltName", ()) if kind == "DNS")


def is_allowed(certificate: Mapping[str, Any] | None, allowed: Collection[str]) -> bool:
    """Whether one of its names is; nobody is when nobody was named."""
    return not names_of(certificate).isdisjoint(allowed)
