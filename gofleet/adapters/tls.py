"""How we know the servers that we call: their certificate must be of an authority we trust, and name their host."""

from __future__ import annotations

import ssl


def client_tls_context(authority: str = "") -> ssl.SSLContext:
    """For connections to a server. `authority`: the PEM file of the only one that is trusted; without it all are that
    this machine trusts. OSError (ssl.SSLError among them) if it cannot be used."""
    context = ssl.create_default_context(cafile=authority or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
