"""The content of log lines."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from loguru import logger

from gofleet.telemetry.exporting import exporting
from gofleet.telemetry.logging import EventLog, log_to, wants_json
from gofleet.telemetry.tracing import span

LOGGING = {"bind", "info", "warning", "error", "contextualize"}


@pytest.fixture
def log() -> Generator[io.StringIO]:
    stream = io.StringIO()
    handlers = logging.root.handlers[:]
    log_to(stream, level="INFO", json=True, context={"role": "worker"})
    yield stream
    logger.remove()
    logging.root.handlers[:] = handlers


def lines(log: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_its_fields(log: io.StringIO) -> None:
    logger.bind(order_id="o-1").info("order {}", "dispatched")

    (line,) = lines(log)
    assert line == line | {"event": "order dispatched", "level": "INFO", "order_id": "o-1", "role": "worker"}


async def test_a_frequent_line_has_the_same_content_without_loguru(log: io.StringIO) -> None:
    own = EventLog(__name__)
    async with exporting("test", ""):
        with span("act", order_id="o-1"):
            facts = {"driver_id": None, "order_version": 2, "why": "password=hunter2", "at": "-23.550521"}
            logger.bind(**facts).info("{}", "order DISPATCHED to -46.633308")
            own.info("order DISPATCHED to -46.633308", **facts)

    usual, straight = lines(log)
    assert straight["event"] == "order DISPATCHED to -46.63"
    assert straight["order_id"] == "o-1"
    assert "hunter2" not in log.getvalue()
    assert list(straight) == list(usual)
    assert straight | {"time": usual["time"]} == usual
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", str(straight["time"]))


def test_frequent_lines_are_written_from_info_on_and_by_loguru_without_a_sink() -> None:
    own, stream, sink = EventLog(__name__), io.StringIO(), io.StringIO()
    handlers = logging.root.handlers[:]
    try:
        log_to(stream, level="WARNING", json=True, context={})
        own.info("not told")
        log_to(stream, level="INFO", json=True, context={})
        own.info("told")
        logger.remove()
        logger.add(sink, format="{name} {level} {message} {extra}")
        own.info("by {loguru}", order_id="o-1")
    finally:
        logger.remove()
        logging.root.handlers[:] = handlers

    assert [line["event"] for line in lines(stream)] == ["told"]
    assert sink.getvalue() == f"{__name__} INFO by {{loguru}} {{'order_id': 'o-1'}}\n"


def test_no_line_has_a_field_with_a_name_of_the_context() -> None:
    """Such a field would replace the program's version, or its role."""
    root, found = Path(__file__).parents[2] / "gofleet", set[str]()
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOGGING:
                found |= {keyword.arg for keyword in node.keywords if keyword.arg}

    assert {"order_version", "order_id"} <= found
    assert found & {"role", "version"} == set()


def test_each_line_is_written_at_once() -> None:
    """So that it is not lost if the process is killed."""
    program = """
import os, sys
from gofleet.telemetry.logging import EventLog, log_to
log_to(sys.stdout, level="INFO", json=True, context={})
EventLog("a").info("the last word")
os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, timeout=60, check=False)

    assert killed.returncode == -9
    assert json.loads(killed.stdout)["event"] == "the last word"


async def test_a_line_within_a_span_has_its_trace_id(log: io.StringIO) -> None:
    async with exporting("test", ""):
        with span("act", traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"):
            logger.info("inside")
        logger.info("outside")

    # The process may have a provider already, and OpenTelemetry warns.
    inside, outside = (line for line in lines(log) if line["event"] in {"inside", "outside"})
    assert inside["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert "trace_id" not in outside


def test_an_exception_is_on_one_line_without_values(log: io.StringIO) -> None:
    secret = "-".join(("hunter", "2"))
    try:
        raise ConnectionError(f"no connection after {len(secret)} tries\nsecond line")
    except ConnectionError:
        logger.exception("failed")

    (line,) = lines(log)
    assert str(line["error"]).startswith("ConnectionError: no connection")
    assert "Traceback" in str(line["traceback"])
    assert secret not in log.getvalue()


def test_a_line_is_bounded_whatever_its_text(log: io.StringIO) -> None:
    long = "x" * 1_000_000
    logger.bind(order_id=long).info("got {}", long)
    EventLog(__name__).info("order dispatched", order_id=long)
    try:
        raise ValueError(long)
    except ValueError:
        logger.exception("failed with {}", long)

    assert [len(str(line)) < 100_000 for line in lines(log)] == [True] * 3
    assert "(1000000 characters)" in str(lines(log)[1]["order_id"])


def test_user_text_is_never_formatted(log: io.StringIO) -> None:
    logger.bind(text='{"a":1} {0} {missing}').info("order {}", '{"a":1} <red>')

    (line,) = lines(log)
    assert line["event"] == 'order {"a":1} <red>'


def test_libraries_log_the_same_way(log: io.StringIO) -> None:
    logging.getLogger("somebody").warning("careful %d", 7)
    logging.getLogger("aiormq.connection").warning("noise")

    (line,) = lines(log)
    assert line == line | {"event": "careful 7", "level": "WARNING", "library": "somebody"}


def test_json_unless_the_output_is_a_terminal() -> None:
    assert wants_json("auto", io.StringIO())
    assert wants_json("json", io.StringIO())
    assert not wants_json("text", io.StringIO())
