"""The expected permissions of each role on each route, and how the API's responses differ from them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.auth import Authenticator, Charge
from gofleet.adapters.http.server import serving
from gofleet.domain.driver import Driver
from gofleet.domain.errors import Unauthenticated
from gofleet.domain.messages import DISPATCH_QUEUE, Delivery
from gofleet.domain.parked import Cause, HandlingFailure
from gofleet.domain.principal import WORKER, Principal, Role, Scope
from tests.makers import CENTRE, a_position, an_order
from tests.roles.conftest import World

EVERY_SCOPE = frozenset(Scope)
CALLERS: Mapping[str, Role] = {
    "customer-a": Role.CUSTOMER,
    "customer-b": Role.CUSTOMER,
    "driver-x": Role.DRIVER,
    "driver-y": Role.DRIVER,
    "dispatcher-d": Role.DISPATCHER,
    "admin-m": Role.ADMIN,
    "service-s": Role.SERVICE,
}
"""Roles by name. `customer-a` and `driver-x` own the order and the driver record of each call; `-b` and `-y` do not."""
NOT_OWNERS = {Role.CUSTOMER: "customer-b", Role.DRIVER: "driver-y"}
ORDER, OTHER, DRIVER, OTHER_DRIVER = "order-aa", "order-bb", "driver-x", "driver-y"
NOWHERE = {ORDER: "order-zz", DRIVER: "driver-z"}
"""Unknown ids of the same length."""

ANYTHING, OWN, NOTHING = "anything", "own", "nothing"
STAFF = {"dispatcher": ANYTHING, "admin": ANYTHING, "service": ANYTHING}
ADMIN = {"admin": ANYTHING}
EXPECTED: Mapping[str, Mapping[str, str] | None] = {
    "createOrder": {**STAFF, "customer": ANYTHING},
    "showOrder": {**STAFF, "customer": OWN, "driver": OWN},
    "listOrders": {**STAFF, "customer": ANYTHING, "driver": ANYTHING},
    "showTimeline": {**STAFF, "customer": OWN, "driver": OWN},
    "followOrders": {**STAFF, "customer": ANYTHING, "driver": ANYTHING},
    "changeOrder": {**STAFF, "customer": OWN},
    "cancelOrder": {**STAFF, "customer": OWN},
    "deliverOrder": {**STAFF, "driver": OWN},
    "dispatchOrder": {"dispatcher": ANYTHING, "admin": ANYTHING},
    "redispatchOrder": {"dispatcher": ANYTHING, "admin": ANYTHING},
    "listCandidates": {"dispatcher": ANYTHING, "admin": ANYTHING},
    "registerDriver": STAFF,
    "showDriver": {**STAFF, "driver": OWN},
    "setDuty": {**STAFF, "driver": OWN},
    "locateDriver": {**STAFF, "driver": OWN},
    "moveDriver": {**STAFF, "driver": OWN},
    "listDrivers": STAFF,
    "moveDrivers": STAFF,
    "listParkedMessages": ADMIN,
    "countParkedMessages": ADMIN,
    "showParkedMessage": ADMIN,
    "replayParkedMessage": ADMIN,
    "replayParkedMessages": ADMIN,
    "listFailedEvents": ADMIN,
    "retryFailedEvents": ADMIN,
    "showIndicators": STAFF,
    "explainProblem": None,
    "showResource": None,
}
"""Permissions by operation and role; a role not listed has none. None = no authentication required."""


@dataclass(frozen=True)
class Call:
    operation: str
    method: str
    path: str
    body: object


async def authenticate(token: str, charge: Charge) -> Principal:
    """The principal whose name the token is."""
    del charge  # there is nothing to wait for
    if token not in CALLERS:
        raise Unauthenticated("unknown name")
    return Principal.named(token, frozenset({CALLERS[token]}), EVERY_SCOPE)


def bearing(name: str) -> dict[str, str]:
    """The headers of a request by that caller."""
    return {"Authorization": f"Bearer {name}"}


def calls(document: Mapping[str, Any]) -> Iterator[Call]:
    """Each operation of the description once, with its own examples."""
    values = {"order_id": ORDER, "driver_id": DRIVER, "parked_id": "1", "slug": "not-found"}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            bodies = operation.get("requestBody", {}).get("content", {})
            body = next((media["example"] for media in bodies.values()), None)
            yield Call(operation["operationId"], method.upper(), path.format(**values), body)


async def settled(world: World) -> None:
    """Two drivers, each with an order of another customer; a parked message."""
    for driver, order, customer in ((DRIVER, ORDER, "customer-a"), (OTHER_DRIVER, OTHER, "customer-b")):
        await world.drivers.put(Driver(driver, driver.title(), True))
        await world.fleet.register(Driver(driver, driver.title(), True))
        await world.fleet.update_position(a_position(driver))
        await world.orders.add(an_order(order, customer_id=customer))
        saved = await world.orders.get(order)
        saved.dispatch(driver, by=WORKER)
        await world.orders.save(saved)
    await world.parked.add(
        Delivery(DISPATCH_QUEUE, b"{}"), HandlingFailure(Cause.MALFORMED, "Malformed", "it is no event")
    )


@asynccontextmanager
async def serving_all(world: World) -> AsyncGenerator[httpx.AsyncClient]:
    stop = asyncio.Event()
    feed = asyncio.create_task(world.feed.run(stop))
    app = api_app(world.api(), authenticator=Authenticator(authenticate))
    async with serving(app, "127.0.0.1", 0, grace_seconds=2) as listening:
        async with httpx.AsyncClient(base_url=listening.url, timeout=10) as client:
            yield client
        world.stopping.set()
    stop.set()
    await feed


async def sent(client: httpx.AsyncClient, call: Call, name: str | None) -> httpx.Response:
    """The response to that caller; of a stream only its headers."""
    headers = {"X-Request-Id": "same-for-all", "If-Match": "*"}
    if name is not None:
        headers |= bearing(name)
    request = client.build_request(call.method, call.path, json=call.body, headers=headers)
    answer = await client.send(request, stream=True)
    if not answer.headers.get("content-type", "").startswith("text/event-stream"):
        await answer.aread()
    await answer.aclose()
    return answer


async def violation(call: Call, name: str | None) -> str | None:
    """How the response differs from the expected one, in a world of its own; None if it does not."""
    return next(iter(await violations([call], name)), None)


async def violations(calls: Iterable[Call], name: str | None) -> list[str]:
    """All differences from the expected responses. Calls that only read share a world; each other one has its own."""
    reads: list[Call] = []
    writes: list[Call] = []
    for call in calls:
        (reads if call.method == "GET" else writes).append(call)
    found: list[str] = []
    for group in filter(None, [reads, *([call] for call in writes)]):
        world = World(depot=CENTRE)
        await settled(world)
        async with serving_all(world) as client:
            wrong = [(call.operation, await _wrong(client, call, name)) for call in group]
        found += [f"{operation} by {name}: {difference}" for operation, difference in wrong if difference]
    return found


async def _wrong(client: httpx.AsyncClient, call: Call, name: str | None) -> str | None:
    expected = EXPECTED[call.operation]
    if expected is None:
        return _differs(await sent(client, call, name), 200)
    if name is None:
        return _differs(await sent(client, call, name), 401)
    may = expected.get(CALLERS[name].value, NOTHING)
    if may == NOTHING:
        return _differs(await sent(client, call, name), 403)
    if may == ANYTHING or name not in NOT_OWNERS.values():
        answer = await sent(client, call, name)
        return (
            f"status {answer.status_code}" if answer.status_code in {401, 403, 404} or answer.is_server_error else None
        )
    return await _distinguishable(client, call, name)


async def _distinguishable(client: httpx.AsyncClient, call: Call, name: str) -> str | None:
    """Resources of another owner must look as if they did not exist."""
    (there, nowhere), *_ = ((id, other) for id, other in NOWHERE.items() if id in call.path)
    foreign = await sent(client, call, name)
    missing = await sent(client, Call(call.operation, call.method, call.path.replace(there, nowhere), call.body), name)
    if foreign.status_code != 404:
        return f"the status of a foreign one is {foreign.status_code}"
    if foreign.text.replace(there, nowhere) != missing.text:
        return f"a foreign one is {foreign.text}, a missing one {missing.text}"
    same = {name: value for name, value in foreign.headers.items() if name != "date"}
    other = {name: value for name, value in missing.headers.items() if name != "date"}
    return None if same == other else f"the headers of a foreign one are {same}, of a missing one {other}"


def _differs(answer: httpx.Response, status: int) -> str | None:
    return None if answer.status_code == status else f"status {answer.status_code} instead of {status}: {answer.text}"
