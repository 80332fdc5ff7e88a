"""One order over four processes is one trace, at a collector and in the logs."""

from __future__ import annotations

from collections.abc import Generator

import psycopg
import pytest

from gofleet import __version__
from gofleet.domain.errors import FleetUnavailable
from gofleet.domain.place import Place
from tests.journeys.installation import Installation, Town
from tests.otlp import Collector, Received, collecting
from tests.waiting import eventually

ROLES = ("fleet", "relay", "worker", "api")
TRACE_ID, CLIENT_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ORDER_ID = "o-traced"
PICKUP, PRECISE = Place(-23.549271, -46.627813), ("-23.5492", "-46.6278")
BAGGAGE = "canary-from-outside"
CUSTOMER = {
    "traceparent": f"00-{TRACE_ID}-{CLIENT_SPAN}-01",
    "tracestate": f"vendor={BAGGAGE}",
    "baggage": f"user={BAGGAGE}",
}
CHAIN = (
    ("gofleet-api", "POST /api/v1/orders", "SERVER"),
    ("gofleet-relay", "publish orders.created", "PRODUCER"),
    ("gofleet-worker", "process orders.created", "CONSUMER"),
    ("gofleet-worker", "pb.FleetService/SearchDriver", "CLIENT"),
    ("gofleet-fleet", "pb.FleetService/SearchDriver", "SERVER"),
    ("gofleet-fleet", "EVALSHA claim_nearest", "CLIENT"),
)
"""Spans of which each is the child of the one before."""
ELSEWHERE = (
    (0, ("gofleet-api", "orders.add", "CLIENT")),
    (2, ("gofleet-worker", "EVALSHA lease_acquire", "CLIENT")),
    (2, ("gofleet-worker", "orders.save", "CLIENT")),
    (2, ("gofleet-relay", "publish orders.dispatched", "PRODUCER")),
)
"""Children of that span of the chain."""


@pytest.fixture
def collector() -> Generator[Collector]:
    with collecting() as started:
        yield started


def start(installation: Installation, collector: Collector, **more: str) -> None:
    installation.start(*ROLES, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, OTEL_BSP_SCHEDULE_DELAY="100", **more)


async def send(town: Town, order_id: str = ORDER_ID, headers: dict[str, str] | None = None) -> None:
    pickup = {"lat": PICKUP.lat, "lng": PICKUP.lng}
    body = {"id": order_id, "price": 100, "tax": 10, "pickup": pickup}
    answer = await town.http.post("/api/v1/orders", json=body, headers=headers)
    assert answer.status_code == 201, answer.text


def child(spans: list[Received], parent_id: str, which: tuple[str, str, str]) -> Received:
    found = [one for one in spans if (one.service, one.name, one.kind) == which and one.parent_id == parent_id]
    assert len(found) == 1, f"{which}: {found} among {[(one.service, one.name) for one in spans]}"
    return found[0]


async def test_one_trace_over_all_hops(
    installation: Installation, town: Town, clean_database: str, collector: Collector
) -> None:
    start(installation, collector)
    await town.add_drivers(1)

    await send(town, headers=CUSTOMER)

    def arrived() -> bool:
        return "process fleet.drivers" in {one.name for one in collector.spans(TRACE_ID)}

    await eventually(arrived, within=30)
    assert set(installation.stop().values()) == {0}  # which sends what is left
    spans = collector.spans(TRACE_ID)
    path = [child(spans, CLIENT_SPAN, CHAIN[0])]
    for which in CHAIN[1:]:
        path.append(child(spans, path[-1].span_id, which))
    elsewhere = {which[1]: child(spans, path[at].span_id, which) for at, which in ELSEWHERE}
    consumed = child(
        spans, elsewhere["publish orders.dispatched"].span_id, ("gofleet-fleet", "process fleet.drivers", "CONSUMER")
    )
    child(spans, consumed.span_id, ("gofleet-fleet", "EVALSHA occupy", "CLIENT"))

    assert {one.attributes.get("gofleet.order_id") for one in spans} == {ORDER_ID}
    assert [one for one in spans if one.failed] == []
    for one, expected in (
        (path[0], {"http.request.method": "POST", "http.route": "/api/v1/orders", "http.response.status_code": 201}),
        (elsewhere["orders.add"], {"db.system.name": "postgresql", "db.query.summary": "orders.add"}),
        (path[1], {"messaging.system": "rabbitmq", "messaging.operation.type": "send"}),
        (path[2], {"messaging.destination.name": "orders.created", "gofleet.verdict": "done"}),
        (path[3], {"rpc.system": "grpc", "rpc.method": "SearchDriver", "rpc.grpc.status_code": 0}),
        (path[4], {"rpc.service": "pb.FleetService", "rpc.grpc.status_code": 0}),
        (path[5], {"db.system.name": "redis", "db.operation.name": "EVALSHA"}),
    ):
        assert one.attributes == one.attributes | expected
    assert "GEOSEARCH" in str(path[5].attributes["gofleet.redis.commands"])
    with psycopg.connect(clean_database) as connection:
        rows = connection.execute("select event_type, traceparent from outbox order by id").fetchall()
    assert rows == [
        ("orders.created", f"00-{TRACE_ID}-{path[0].span_id}-01"),
        ("orders.dispatched", f"00-{TRACE_ID}-{path[2].span_id}-01"),
    ]
    check_logs(installation, {one.span_id for one in spans})
    check_secrets(installation, spans)


def check_logs(installation: Installation, span_ids: set[str]) -> None:
    """Each role logs something with the ids of this order, trace and a span."""
    for process in installation.processes:
        role = process.name.partition("-")[0]
        ours = [line for line in process.events() if line.get("trace_id") == TRACE_ID]
        assert ours, f"{role} says nothing:\n{process.log.read_text()}"
        for line in ours:
            assert line["order_id"] == ORDER_ID, line
            assert line["span_id"] in span_ids, line
            assert line["role"] == role, line
            assert line["version"] == __version__, line
            assert "order_version" in line or not str(line["event"]).startswith("order "), line


def check_secrets(installation: Installation, spans: list[Received]) -> None:
    logs = "".join(process.log.read_text() for process in installation.processes)
    for canary in (BAGGAGE, *PRECISE):
        assert canary not in logs
        assert canary not in repr(spans)


async def test_an_unsampled_trace_is_one_trace_in_the_logs(
    installation: Installation, town: Town, collector: Collector
) -> None:
    start(installation, collector, OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0")
    await town.add_drivers(1)

    await send(town)

    def traces() -> list[set[object]]:
        lines = [process.events() for process in installation.processes]
        return [{line["trace_id"] for line in of if line.get("order_id") == ORDER_ID} for of in lines]

    await eventually(lambda: all(traces()), within=30)
    assert set(installation.stop().values()) == {0}
    assert len(set[object]().union(*traces())) == 1
    assert collector.spans() == []


async def test_a_failure_is_recorded_on_its_span_by_kind(
    installation: Installation, town: Town, collector: Collector
) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    installation.start("relay", "worker", "api", **endpoint)  # without the fleet

    await send(town, headers=CUSTOMER)

    def searches() -> list[Received]:
        return [one for one in collector.spans(TRACE_ID) if one.name == CHAIN[3][1]]

    search = (await eventually(searches, within=30))[0]
    assert search.failed
    assert search.attributes["error.type"] == FleetUnavailable.code
    [(name, attributes)] = search.events
    assert name == "exception"
    assert set(attributes) == {"exception.type", "exception.stacktrace"}
    assert str(attributes["exception.type"]).startswith("builtins.")  # OSError, or one of its kinds
