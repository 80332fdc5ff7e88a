"""Mutual TLS between the fleet service and its callers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gofleet.adapters.grpc.client import GrpcFleet
from gofleet.adapters.grpc.server import fleet_server
from gofleet.adapters.tls import Certificates
from gofleet.domain.errors import FleetUnavailable
from gofleet.embedded.certificates import Authority, make_certificates
from gofleet.testing.positions import MemoryPositions
from tests.logs import logged
from tests.makers import CENTRE, a_position
from tests.roles.stock import AnyDriver

HOST = "127.0.0.1"


@dataclass
class CertificateFolder:
    """Certificates of one authority, in a folder."""

    folder: Path
    authority: Authority
    name: str

    def issue(self, role: str, names: Sequence[str], *, days: float = 1.0) -> Certificates:
        certificate, key = self.folder / f"{self.name}-{role}.pem", self.folder / f"{self.name}-{role}.key"
        self.authority.issue(names, certificate, key, days=days)
        trusted = self.folder / f"{self.name}.pem"
        self.authority.write_certificate(trusted)
        return Certificates(str(trusted), str(certificate), str(key))


@pytest.fixture
def ours(tmp_path: Path) -> CertificateFolder:
    return CertificateFolder(tmp_path, Authority(), "ours")


@pytest.fixture
def theirs(tmp_path: Path) -> CertificateFolder:
    return CertificateFolder(tmp_path, Authority("another authority"), "theirs")


@asynccontextmanager
async def tls_fleet(certificates: Certificates | None) -> AsyncGenerator[int]:
    async with fleet_server(
        MemoryPositions(),
        AnyDriver(),
        host=HOST,
        port=0,
        depot=CENTRE,
        default_radius_km=5,
        max_radius_km=10,
        claim_ms=1000,
        certificates=certificates,
        callers=["api", "worker"],
    ) as port:
        yield port


async def moved(port: int, certificates: Certificates | None) -> bool:
    """Whether a position is accepted."""
    async with GrpcFleet(HOST, port, timeout_seconds=3, certificates=certificates) as fleet:
        try:
            return await fleet.update_position(a_position())
        except FleetUnavailable:
            return False


async def test_a_valid_certificate_is_accepted(ours: CertificateFolder) -> None:
    async with tls_fleet(ours.issue("fleet", ["fleet", HOST])) as port:
        for role in ("api", "worker"):
            assert await moved(port, ours.issue(role, [role]))


async def test_a_plain_connection_is_refused(ours: CertificateFolder) -> None:
    async with tls_fleet(ours.issue("fleet", ["fleet", HOST])) as port:
        assert not await moved(port, None)
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")  # the start of gRPC without encryption
        async with asyncio.timeout(5):
            assert b"pb.FleetService" not in await reader.read()
        writer.close()


async def test_a_client_without_a_certificate_is_refused(ours: CertificateFolder) -> None:
    import ssl  # noqa: PLC0415

    fleet = ours.issue("fleet", ["fleet", HOST])
    async with tls_fleet(fleet) as port:
        context = ssl.create_default_context(cafile=fleet.authority)
        context.set_alpn_protocols(["h2"])
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            async with asyncio.timeout(5):
                await reader.readexactly(9)  # the first frame of an answer


async def test_another_authority_is_refused(ours: CertificateFolder, theirs: CertificateFolder) -> None:
    fleet = ours.issue("fleet", ["fleet", HOST])
    stranger = replace(theirs.issue("worker", ["worker"]), authority=fleet.authority)
    async with tls_fleet(fleet) as port:
        assert not await moved(port, stranger)


async def test_an_expired_certificate_is_refused(ours: CertificateFolder) -> None:
    async with tls_fleet(ours.issue("fleet", ["fleet", HOST])) as port:
        assert not await moved(port, ours.issue("worker", ["worker"], days=-1))


@pytest.mark.parametrize("names", [["relay"], ["fleet"], ["worker.example.com"], ["127.0.0.2"], ["Worker2", "api.x"]])
async def test_a_certificate_of_another_role_is_refused(ours: CertificateFolder, names: list[str]) -> None:
    async with tls_fleet(ours.issue("fleet", ["fleet", HOST])) as port:
        with logged() as lines:
            assert not await moved(port, ours.issue("other", names))
        assert any("not allowed" in line for line in lines)


async def test_a_common_name_is_ignored(ours: CertificateFolder) -> None:
    """The subject says `127.0.0.2`, and no DNS name says `worker`."""
    async with tls_fleet(ours.issue("fleet", ["fleet", HOST])) as port:
        assert not await moved(port, ours.issue("other", ["127.0.0.2"]))


async def test_clients_reject_a_server_of_another_authority(ours: CertificateFolder, theirs: CertificateFolder) -> None:
    worker = ours.issue("worker", ["worker"])
    impostor = replace(theirs.issue("fleet", ["fleet", HOST]), authority=worker.authority)
    async with tls_fleet(impostor) as port:
        assert not await moved(port, worker)


async def test_clients_reject_a_server_with_another_name(ours: CertificateFolder) -> None:
    async with tls_fleet(ours.issue("fleet", ["fleet"])) as port:
        assert not await moved(port, ours.issue("worker", ["worker"]))


async def test_clients_with_certificates_reject_a_plain_server(ours: CertificateFolder) -> None:
    async with tls_fleet(None) as port:
        assert not await moved(port, ours.issue("worker", ["worker"]))


async def test_unusable_files_are_reported_at_the_start(ours: CertificateFolder) -> None:
    with pytest.raises(OSError, match="No such file"):
        async with tls_fleet(Certificates("nowhere.pem", "nowhere.pem", "nowhere.key")):
            pass
    broken = ours.issue("fleet", ["fleet", HOST])
    Path(broken.key).write_text("no key")
    with pytest.raises(OSError, match=r"PEM|KEY|key"):
        async with tls_fleet(broken):
            pass


async def test_development_certificates_serve_all_roles(tmp_path: Path) -> None:
    made = {file.name: str(file) for file in make_certificates(tmp_path / "certs")}

    def of(role: str) -> Certificates:
        return Certificates(made["authority.pem"], made[f"{role}.pem"], made[f"{role}.key"])

    assert all(Path(file).stat().st_mode & 0o077 == 0 for name, file in made.items() if name.endswith(".key"))
    async with tls_fleet(of("fleet")) as port:
        assert await moved(port, of("api"))
        assert await moved(port, of("worker"))
        assert not await moved(port, of("fleet"))
