"""Spans as a collector receives them, and what is not recorded at all."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import httpx
import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.trace import INVALID_SPAN, SpanKind, TraceFlags, get_current_span
from psycopg.errors import NotNullViolation

from gofleet.adapters.postgres.pool import acquire, create_pool
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.errors import GoFleetError, MessageRefused
from gofleet.domain.messages import Delivery, Message
from gofleet.telemetry.exporting import SAMPLERS, exporting
from gofleet.telemetry.instrumentation import InstrumentedPublisher
from gofleet.telemetry.tracing import (
    ORDER_ID,
    client_span,
    current_order_id,
    current_trace_id,
    current_traceparent,
    is_recording,
    set_order_id,
    span,
)
from tests.otlp import Collector, collecting

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED, UNSAMPLED = (f"00-{TRACE_ID}-00f067aa0ba902b7-{flags}" for flags in ("01", "00"))


@pytest.fixture
def collector() -> Generator[Collector]:
    with collecting() as started:
        yield started


async def test_without_a_collector_there_are_ids_and_nothing_is_recorded() -> None:
    async with exporting("test", ""):
        with span("a request", SpanKind.SERVER) as whole, client_span("orders.get") as part:
            assert not is_recording()
            assert not whole.is_recording()
            assert not part.is_recording()
            assert len(current_trace_id() or "") == 32
            assert int((current_traceparent() or "")[-2:], 16) & TraceFlags.SAMPLED == 0
        with span("another", traceparent=SAMPLED):
            assert current_trace_id() == TRACE_ID
            assert not is_recording()
    assert current_trace_id() is None


def test_without_a_trace_only_foreign_ids_are_passed_on() -> None:
    with span("a request"), span("a part of it"):
        assert current_trace_id() is None
        assert current_traceparent() is None
    with span("a request", traceparent=SAMPLED), span("a part of it"):
        assert current_trace_id() == TRACE_ID
        assert not is_recording()


async def test_a_client_span_is_a_child_with_the_order_id(collector: Collector) -> None:
    async with exporting("test", collector.endpoint):
        with span("a request", SpanKind.SERVER, traceparent=SAMPLED):
            set_order_id("o-1")
            with client_span("orders.get"):
                pass
        assert current_order_id() is None
        with client_span("of nothing"):  # background work starts no trace
            set_order_id("o-2")

    part, whole = collector.spans()
    assert (whole.name, whole.trace_id, whole.parent_id) == ("a request", TRACE_ID, "00f067aa0ba902b7")
    assert (part.name, part.kind, part.parent_id) == ("orders.get", "CLIENT", whole.span_id)
    assert whole.attributes[ORDER_ID] == part.attributes[ORDER_ID] == "o-1"


async def test_other_instrumentations_find_the_current_span_as_their_parent(collector: Collector) -> None:
    seen: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(204)

    transport = httpx.MockTransport(respond)
    async with exporting("test", collector.endpoint) as provider, httpx.AsyncClient(transport=transport) as client:
        HTTPXClientInstrumentor.instrument_client(client, tracer_provider=provider)
        with span("a request", SpanKind.SERVER, traceparent=SAMPLED) as whole:
            assert get_current_span() is whole
            await client.get("http://elsewhere.example/")
            with client_span("a step") as part:
                assert get_current_span() is part
                await client.get("http://elsewhere.example/")
        assert get_current_span() is INVALID_SPAN

    spans = {one.span_id: one for one in collector.spans()}
    calls = [one for one in spans.values() if one.name == "GET"]
    assert [spans[one.parent_id].name for one in calls] == ["a request", "a step"]
    assert {one.trace_id for one in spans.values()} == {TRACE_ID}
    assert [request.headers["traceparent"].split("-")[2] for request in seen] == [one.span_id for one in calls]
    assert not any("tracestate" in request.headers or "baggage" in request.headers for request in seen)


async def test_without_a_collector_other_instrumentations_still_send_the_trace_id() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(204, headers=request.headers))
    async with exporting("test", "") as provider, httpx.AsyncClient(transport=transport) as client:
        assert provider is None
        HTTPXClientInstrumentor.instrument_client(client)
        with span("a request") as whole:
            assert get_current_span() is whole
            response = await client.get("http://elsewhere.example/")
            assert response.headers["traceparent"].split("-")[1] == current_trace_id()


async def test_concurrent_work_has_its_own_order_ids(collector: Collector) -> None:
    async def work(order_id: str) -> None:
        with span(order_id, SpanKind.CONSUMER):
            set_order_id(order_id)
            await asyncio.sleep(0)
            with client_span("a step"):
                assert current_order_id() == order_id

    async with exporting("test", collector.endpoint):
        await asyncio.gather(*(work(f"o-{number}") for number in range(3)))

    wholes = {one.span_id: one for one in collector.spans() if one.kind == "CONSUMER"}
    parts = [one for one in collector.spans() if one.kind == "CLIENT"]
    assert len(wholes) == len(parts) == 3
    assert all(part.attributes[ORDER_ID] == wholes[part.parent_id].name for part in parts)


async def test_an_error_is_recorded_by_kind_and_place_without_its_message(collector: Collector) -> None:
    async with exporting("test", collector.endpoint):
        words = "canary at -23.550520, -46.633308"
        with pytest.raises(ValueError, match="canary"), span("a request"), client_span("a step"):
            raise ValueError(words)
        with pytest.raises(asyncio.CancelledError), span("stopped"):
            raise asyncio.CancelledError

    part, whole, stopped = collector.spans()
    for one in (part, whole):
        assert one.failed
        assert one.attributes["error.type"] == "builtins.ValueError"
        [(name, attributes)] = one.events
        assert (name, attributes["exception.type"]) == ("exception", "builtins.ValueError")
        assert "test_tracing.py" in str(attributes["exception.stacktrace"])
    assert "canary at" not in repr(collector.spans())
    assert not stopped.failed


@pytest.mark.parametrize(
    ("sampler", "share", "traceparent", "expected"),
    [
        ("parentbased_always_on", 0.0, None, 1),
        ("parentbased_always_on", 1.0, UNSAMPLED, 0),
        ("parentbased_always_off", 1.0, SAMPLED, 1),
        ("parentbased_traceidratio", 0.0, None, 0),
        ("parentbased_traceidratio", 1.0, None, 1),
        ("parentbased_traceidratio", 0.0, SAMPLED, 1),
        ("traceidratio", 0.0, SAMPLED, 0),
        ("always_on", 0.0, UNSAMPLED, 1),
        ("always_off", 1.0, SAMPLED, 0),
    ],
)
async def test_samplers_by_their_standard_names(
    collector: Collector, sampler: str, share: float, traceparent: str | None, expected: int
) -> None:
    async with exporting("test", collector.endpoint, sampler, share):
        with span("a request", traceparent=traceparent):
            assert current_trace_id()

    assert len(collector.spans()) == expected
    assert sampler in SAMPLERS


async def test_sampling_by_trace_id_agrees_with_opentelemetry(collector: Collector) -> None:
    async with exporting("test", collector.endpoint, "parentbased_traceidratio", 0.5):
        ids: list[str] = []
        for _ in range(64):
            with span("a request"), client_span("a step"):
                ids.append(current_trace_id() or "")

    chosen = {one for one in ids if int(one[16:], 16) < 2**63}
    assert {one.trace_id for one in collector.spans()} == chosen
    assert len(collector.spans()) == 2 * len(chosen)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        (SAMPLED, TRACE_ID),
        (f"  {SAMPLED} ", TRACE_ID),
        (f"cc-{TRACE_ID}-00f067aa0ba902b7-01-more", TRACE_ID),
        (f"00-{TRACE_ID}-00f067aa0ba902b7-01-more", None),
        (f"00-{TRACE_ID.upper()}-00f067aa0ba902b7-01", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE_ID}-{'0' * 16}-01", None),
        (f"ff-{TRACE_ID}-00f067aa0ba902b7-01", None),
        ("nonsense", None),
    ],
)
async def test_a_traceparent_is_read_as_opentelemetry_reads_it(traceparent: str, trace_id: str | None) -> None:
    async with exporting("test", ""):
        with span("a request", traceparent=traceparent):
            found = current_traceparent() or ""
    assert (found.split("-")[1] == trace_id) == (trace_id is not None)
    assert len(found.split("-")[1]) == 32


async def test_statements_are_recorded_by_name_without_values(collector: Collector, clean_database: str) -> None:
    maria = {"id": "maria", "name": "canary", "on_duty": True, "staff": "client"}
    pool = create_pool(clean_database, size=1, wait_seconds=5)
    async with pool, exporting("test", collector.endpoint):
        with span("a request"):
            async with acquire(pool) as connection:
                await connection.execute(Queries("drivers").put, maria)
                await connection.execute("select 1")
                with pytest.raises(NotNullViolation):
                    await connection.execute(Queries("drivers").put, maria | {"name": None})

    good, bad, whole = collector.spans()
    assert [good.name, bad.name] == ["drivers.put", "drivers.put"]
    assert {good.parent_id, bad.parent_id} == {whole.span_id}
    assert good.attributes == {"db.system.name": "postgresql", "db.query.summary": "drivers.put"}
    assert (good.failed, bad.failed, whole.failed) == (False, True, False)
    assert bad.attributes["db.response.status_code"] == "23502"
    assert "canary" not in repr(collector.spans())


@dataclass
class Shelf:
    """A publisher with configured results that records its messages."""

    answers: list[GoFleetError | None]
    sent: list[Message] = field(default_factory=list[Message])

    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        self.sent += messages
        return self.answers

    async def put_back(self, deliveries: Sequence[Delivery]) -> list[GoFleetError | None]:
        return [None for _ in deliveries]


async def test_each_message_continues_its_own_trace(collector: Collector) -> None:
    shelf = Shelf([None, MessageRefused("no queue takes it")])
    messages = [
        Message("e-1", "orders.created", "o-1", 1, b"{}", SAMPLED),
        Message("e-2", "orders.created", "o-2", 1, b"{}"),
    ]
    async with exporting("test", collector.endpoint):
        await InstrumentedPublisher(shelf, "rabbitmq").publish(messages)

    first, second = collector.spans()
    assert (first.trace_id, first.parent_id, first.kind) == (TRACE_ID, "00f067aa0ba902b7", "PRODUCER")
    assert second.parent_id == ""
    carried = [(one.traceparent or "").split("-")[1:3] for one in shelf.sent]
    assert carried == [[one.trace_id, one.span_id] for one in (first, second)]
    assert (first.failed, second.failed) == (False, True)
    assert [one.attributes[ORDER_ID] for one in (first, second)] == ["o-1", "o-2"]
