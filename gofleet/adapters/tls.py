"""TLS contexts: for clients of a server, and for both ends of the gRPC connection, which authenticate each other."""

from __future__ import annotations

import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

ALPN_PROTOCOLS = ["h2"]


def client_tls_context(authority: str = "") -> ssl.SSLContext:
    """For connections to a server, whose certificate must name its host. `authority` is the PEM file of the only
    authority to trust; without it the machine's are trusted. OSError (such as ssl.SSLError) if it cannot be used."""
    context = ssl.create_default_context(cafile=authority or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def is_certificate_refused(error: BaseException | None) -> bool:
    """Whether the error, or what caused it, is that we do not trust the server's certificate."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


@dataclass(frozen=True)
class Certificates:
    """PEM files for mutual TLS: the only authority that both ends trust, this end's certificate and its key."""

    authority: str
    certificate: str
    key: str

    def for_server(self) -> ssl.SSLContext:
        """Clients must present a certificate. OSError (such as ssl.SSLError) if a file cannot be used."""
        context = self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def for_client(self) -> ssl.SSLContext:
        """The server's certificate must name the host that is called. OSError as above."""
        return self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def _load(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # both ends are ours
        context.load_verify_locations(self.authority)
        context.load_cert_chain(self.certificate, self.key)
        context.set_alpn_protocols(ALPN_PROTOCOLS)
        return context


def dns_names(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """The DNS names of a certificate as Python's ssl describes it (RFC 6125: never the common name)."""
    return frozenset(name for kind, name in (certificate or {}).get("subjectAltName", ()) if kind == "DNS")


def is_allowed(certificate: Mapping[str, Any] | None, allowed: Collection[str]) -> bool:
    """Whether one of the certificate's names is in `allowed`."""
    return not dns_names(certificate).isdisjoint(allowed)
