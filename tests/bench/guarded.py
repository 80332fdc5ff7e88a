"""The cost of authentication and rate limits; and the cost of TLS to the fleet.

Orders go in turn to three apis on one database: one without authentication, one that verifies access tokens, and one
that limits rates as well. Searches go in turn to two fleets on one Redis, one of them with mutual TLS.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gofleet.adapters.grpc.client import GrpcFleet
from gofleet.adapters.tls import Certificates
from gofleet.domain.place import Place
from gofleet.embedded.certificates import make_certificates
from gofleet.listening import free_port
from gofleet.ports import Search
from tests.auth.mint import AUDIENCE, FIRST, claims, published, token
from tests.auth.provider import a_provider
from tests.bench.figures import Aim, Figure, ratio
from tests.bench.load import CENTRE, Load, NewOrders, send
from tests.bench.queues import forget
from tests.bench.servers import Bench, Measured

CASE = "guarded"
AT_ONCE = 64
BURST, BURSTS = 2000, 8
"""Orders that one api takes before it is the next one's turn; and turns of each in a repetition."""
BURST_SECONDS = 30.0
COUNTING = {"LIMITS": "on", "LIMIT_STAFF_RATE": "1000000"}
"""No request exceeds the limit; the burst, of which a process holds a part, is the default."""
SHARE_MIN = 0.95
SEARCHES_AT_ONCE = 32
PATIENCE_SECONDS = 30.0


@dataclass
class _Api:
    name: str
    port: int
    token: str
    rates: list[float] = field(default_factory=list[float])
    sent: int = 0

    async def burst(self, orders: int) -> None:
        request = NewOrders(f"{self.port}-", token=self.token)
        outcome = await send(Load(request, (self.port,), AT_ONCE, BURST_SECONDS, first=self.sent, most=orders))
        self.sent += orders
        if outcome.accepted != orders:
            raise AssertionError(f"{self.name}: {outcome.counts}")
        self.rates.append(outcome.rate)


async def measure(at: Bench) -> list[Figure]:
    return [*await _doors(at), *await _links(at)]


async def _doors(at: Bench) -> list[Figure]:
    orders, bursts = (100, 1) if at.smoke else (BURST, BURSTS * len(at.rounds))
    with at.servers.installation(CASE, WEB_TARGET_SECONDS="10") as measured:
        async with a_provider() as provider:
            provider.publish(published(FIRST))
            asking = {"AUTH": "oidc", "AUTH_ISSUER": provider.url, "AUTH_AUDIENCE": AUDIENCE}
            given = token(claims(iss=provider.url, sub="bench", roles=["service"], exp=claims()["iat"] + 3500))
            modes: Mapping[str, Mapping[str, str]] = {
                "without authentication": {"AUTH": "off", "LIMITS": "off"},
                "with tokens": {**asking, "LIMITS": "off"},
                "with tokens and rate limits": {**asking, **COUNTING},
            }
            apis = [_Api(name, _started(measured, mode), given) for name, mode in modes.items()]
            for api in apis:
                await api.burst(orders)
                api.rates.clear()
            for number in range(bursts):
                for api in apis if number % 2 else reversed(apis):
                    await api.burst(orders)
        measured.installation.stop()
    open_, reading, counting = (Figure(CASE, f"an api {api.name}", "orders/s", tuple(api.rates)) for api in apis)
    aim = Aim("at least 95 %: limits cost less than 5 %", least=SHARE_MIN)
    return [
        *(open_, reading, counting),
        ratio(reading, open_, "with tokens, of without"),
        ratio(counting, reading, "with limits, of without", aim),
    ]


def _started(measured: Measured, mode: Mapping[str, str]) -> int:
    port = free_port("127.0.0.1", 18_700)
    measured.installation.start("api", WEB_SERVER_PORT=str(port), **mode)
    return port


async def _links(at: Bench) -> list[Figure]:
    seconds = 0.3 if at.smoke else 3.0
    with at.servers.installation(f"{CASE}-links") as measured:
        made = {file.name: str(file) for file in make_certificates(Path(at.servers.place) / "certificates")}
        fleet, worker = (
            Certificates(made["authority.pem"], made[f"{role}.pem"], made[f"{role}.key"])
            for role in ("fleet", "worker")
        )
        tls = {"GRPC_TLS_CA": fleet.authority, "GRPC_TLS_CERT": fleet.certificate, "GRPC_TLS_KEY": fleet.key}
        plain, encrypted = (_fleet(measured, more) for more in ({}, tls))
        rates: dict[str, list[float]] = {"plain": [], "encrypted": []}
        async with (
            GrpcFleet("127.0.0.1", plain, timeout_seconds=PATIENCE_SECONDS) as open_,
            GrpcFleet("127.0.0.1", encrypted, timeout_seconds=PATIENCE_SECONDS, certificates=worker) as encrypted_fleet,
        ):
            for client in (open_, encrypted_fleet):
                await _searched(client, seconds / 3)
            for number, variant in at.turns(2):
                name = list(rates)[variant]
                rates[name].append(await _searched((open_, encrypted_fleet)[variant], seconds))
                at.say(f"{CASE} {number + 1}: {name} connection {rates[name][-1]:.0f} searches/s")
        measured.installation.stop()
        await forget(at.servers, measured)
    one, other = (
        Figure(CASE, f"SearchDriver over a connection that is {name}", "calls/s", tuple(each))
        for name, each in rates.items()
    )
    return [one, other, ratio(other, one, "encrypted, of plain")]


def _fleet(measured: Measured, more: Mapping[str, str]) -> int:
    port = free_port("127.0.0.1", 18_800)
    measured.installation.start("fleet", GRPC_PORT=str(port), **more)
    return port


async def _searched(client: GrpcFleet, seconds: float) -> float:
    """Searches a second without results: the connection is measured."""
    until, done, began = time.monotonic() + seconds, 0, time.monotonic()

    async def one(name: int) -> int:
        count = 0
        while time.monotonic() < until:
            if await client.search(Search(f"o-{name}-{count}", Place(*CENTRE), 1.0)):
                raise AssertionError("a driver was found in an empty town")
            count += 1
        return count

    done = sum(await asyncio.gather(*(one(name) for name in range(SEARCHES_AT_ONCE))))
    return done / (time.monotonic() - began)
