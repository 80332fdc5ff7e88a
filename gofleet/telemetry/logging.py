"""Structured logs: one JSON line per event (text on a terminal), with the trace and the order that it belongs to."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import NoneType
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
from loguru import logger

from gofleet.telemetry.scrubbing import scrubber
from gofleet.telemetry.tracing import current_ids, current_order_id

if TYPE_CHECKING:
    from loguru import Message, Record

Fields = Mapping[str, str | int | None]
Write = Callable[[str, str, Fields], None]
"""Writes one line: the logger's name, the event, and its fields."""

NOISY = ("aio_pika", "aiormq", "asyncio", "granian", "_granian", "httpx", "httpcore", "faststream", "psycopg.pool")
"""Libraries whose warnings repeat our own log lines; their errors are kept."""
SILENT = ("aiormq.connection", "aio_pika.tools")
"""The first logs each failed connection attempt, twice a second for as long as RabbitMQ is unavailable. The second logs
at each lost connection that aio-pika cannot repair the channel: GoFleet replaces the connection, and warns itself."""

TEXT = (
    "<dim>{time:HH:mm:ss.SSS}</dim> <level>{level:<7}</level> {message} <dim>{extra}</dim>"
    # A format string must name the exception itself to have it printed.
    "\n{exception}"
)
TEXT_CHARS_MAX, TRACEBACK_CHARS_MAX = 4096, 65_536
_encoder = msgspec.json.Encoder()
_writers: list[Write] = []
"""Sinks of `EventLog`, of which the last one is in use; without any, lines go through loguru."""


class EventLog:
    """Writes the INFO lines of every order and message for a fraction of loguru's cost for a line.

    loguru looks up the frame, the file, the thread and the process for each line, none of which our lines contain.
    One for each module: `events = EventLog(__name__)`, then `events.info("order dispatched", order_id=...)`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def info(self, event: str, **fields: str | int | None) -> None:
        """As `logger.bind(**fields).info("{}", event)`."""
        if _writers:
            _writers[-1](self._name, event, fields)
        else:
            logger.opt(depth=1).bind(**fields).info("{}", event)


def log_to(stream: TextIO, *, level: str, json: bool, context: Mapping[str, str], secrets: Iterable[str] = ()) -> None:
    """Write every log line of this process to `stream`, without `secrets` and with `context` (role, version, ...)."""
    logger.remove()
    scrub = scrubber(secrets)

    def complete(record: Record) -> None:
        record["message"], extra = _completed(record["message"], record["extra"], scrub)
        record["extra"].update(extra)

    logger.configure(patcher=complete, extra=dict(context))
    # diagnose would print the values of variables: passwords, tokens, positions.
    logger.add(
        _JsonLines(stream, scrub, context, level) if json else _Text(stream, scrub),
        level=level,
        format="{message}" if json else TEXT,
        colorize=not json and stream.isatty(),
        backtrace=False,
        diagnose=False,
    )
    logging.basicConfig(handlers=[_Forwarding()], level=logging.WARNING, force=True)
    logging.captureWarnings(True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)


class _Text:
    """loguru's sink for text."""

    def __init__(self, stream: TextIO, scrub: Callable[[str], str]) -> None:
        self._stream = stream
        self._scrub = scrub

    def write(self, message: str) -> None:
        self._stream.write(_bounded(self._scrub(message).rstrip("\n"), TRACEBACK_CHARS_MAX) + "\n")
        self._stream.flush()


class _JsonLines:
    """loguru's sink for JSON, and the writer of every `EventLog`.

    Each line is flushed at once, so that the last line before a crash is there.
    """

    def __init__(self, stream: TextIO, scrub: Callable[[str], str], context: Mapping[str, str], level: str) -> None:
        self._stream = stream
        self._scrub = scrub
        self._context = {name: scrub(value) for name, value in context.items()}
        self._logs_info = logger.level("INFO").no >= logger.level(level).no
        _writers.append(self._write_event)

    def stop(self) -> None:
        """Called by loguru when the sink is removed."""
        if self._write_event in _writers:
            _writers.remove(self._write_event)

    def write(self, message: Message) -> None:
        record = message.record
        time = datetime.fromtimestamp(record["time"].timestamp(), UTC)  # msgspec cannot encode loguru's subclass
        line = _line(time, record["level"].name, record["message"], record["name"], record["extra"])
        if error := record["exception"]:
            line["error"] = _bounded(self._scrub(f"{error.type.__name__ if error.type else ''}: {error.value}"))
            trace = "".join(_traceback(error.type, error.value, error.traceback))
            line["traceback"] = _bounded(self._scrub(trace), TRACEBACK_CHARS_MAX)
        self._put(line)

    def _write_event(self, name: str, event: str, fields: Fields) -> None:
        if self._logs_info:
            event, extra = _completed(event, fields, self._scrub)
            self._put(_line(datetime.now(UTC), "INFO", event, name, self._context | extra))

    def _put(self, line: dict[str, Any]) -> None:
        self._stream.write(_encoder.encode(line).decode() + "\n")
        self._stream.flush()


def _completed(event: str, fields: Mapping[str, Any], scrub: Callable[[str], str]) -> tuple[str, dict[str, Any]]:
    """The event and its fields, scrubbed, with the current trace and order."""
    extra: dict[str, Any] = {
        name: value if isinstance(value, (int, float, NoneType)) else _bounded(scrub(str(value)))
        for name, value in fields.items()
    }
    if "order_id" not in extra and (order_id := current_order_id()):
        extra["order_id"] = scrub(order_id)
    if ids := current_ids():
        extra["trace_id"], extra["span_id"] = ids
    return _bounded(scrub(event)), extra


def _bounded(text: str, chars_max: int = TEXT_CHARS_MAX) -> str:
    """What arrives from outside may be a megabyte long."""
    return text if len(text) <= chars_max else f"{text[:chars_max]}... ({len(text)} characters)"


def _line(time: datetime, level: str, event: str, name: str | None, extra: Mapping[str, Any]) -> dict[str, Any]:
    return {"time": time, "level": level, "event": event, "logger": name, **extra}


def _traceback(type: Any, value: Any, trace: Any) -> list[str]:
    import traceback  # noqa: PLC0415  only when something went wrong

    return traceback.format_exception(type, value, trace)


class _Forwarding(logging.Handler):
    """Passes records of the standard `logging`, which libraries use, on to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"} else "INFO"
        logger.opt(exception=record.exc_info).bind(library=record.name).log(level, "{}", record.getMessage())


def wants_json(log_format: str, stream: TextIO = sys.stdout) -> bool:
    """`auto` is JSON unless `stream` is a terminal."""
    return log_format == "json" or (log_format == "auto" and not stream.isatty())
