"""Development and test certificates: a certificate authority and a certificate for each role and server.

The authority's private key is never stored, so further certificates require a new set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gofleet.files import write_private

AUTHORITY_FILE = "authority.pem"
LOOPBACK_NAMES = ("localhost", "127.0.0.1")
CERTIFICATE_NAMES: Mapping[str, Sequence[str]] = {
    "fleet": ("fleet", *LOOPBACK_NAMES),
    "api": ("api",),
    "worker": ("worker",),
    **{server: (server, *LOOPBACK_NAMES) for server in ("postgres", "rabbitmq", "redis")},
}
"""Role or server -> subject alternative names; listeners also have the names of the loopback interface."""
VALID_DAYS = 365.0


class Authority:
    """Certificate authority with its private key in memory only."""

    def __init__(self, name: str = "GoFleet development") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        public = self._key.public_key()
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        self._certificate = (
            _builder(self._name, self._name, public, VALID_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def write_certificate(self, file: Path) -> None:
        """Write the CA certificate, which clients and servers must trust."""
        file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, names: Sequence[str], certificate: Path, key: Path, *, days: float = VALID_DAYS) -> None:
        """Issue a certificate for these DNS names or IP addresses, for server and client authentication.

        Negative `days` make an expired certificate.
        """
        secret = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        issued = (
            _builder(subject, self._name, secret.public_key(), days)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        certificate.write_bytes(issued.public_bytes(serialization.Encoding.PEM))
        write_private(
            key,
            secret.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )


def make_certificates(folder: Path) -> list[Path]:
    """Write `authority.pem`, and `<owner>.pem` and `<owner>.key` for each of `CERTIFICATE_NAMES`; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority()
    authority.write_certificate(folder / AUTHORITY_FILE)
    files = [folder / AUTHORITY_FILE]
    for owner, names in CERTIFICATE_NAMES.items():
        certificate, key = folder / f"{owner}.pem", folder / f"{owner}.key"
        authority.issue(names, certificate, key)
        files += [certificate, key]
    return files


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: float
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    begin = now - timedelta(minutes=5) + min(timedelta(0), 2 * timedelta(days=days))
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(now + timedelta(days=days))
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
