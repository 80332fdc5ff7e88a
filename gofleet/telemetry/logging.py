"""Logs: one line for each event, JSON unless a person reads along, with the trace and the order they belong to."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import NoneType
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
from loguru import logger

from gofleet.telemetry import event_log as lines
from gofleet.telemetry.scrubbing import scrubber
from gofleet.telemetry.tracing import current_ids, current_order_id

if TYPE_CHECKING:
    from loguru import Message, Record

NOISY = ("aio_pika", "aiormq", "asyncio", "granian", "_granian", "httpx", "httpcore", "faststream", "psycopg.pool")
"""Libraries whose warnings repeat what our own lines say better; their errors are kept."""
SILENT = ("aiormq.connection",)
"""And one that tells at every try that RabbitMQ is away, twice a second, for as long as it is."""

TEXT = (
    "<dim>{time:HH:mm:ss.SSS}</dim> <level>{level:<7}</level> {message} <dim>{extra}</dim>"
    # A format string must name the exception itself to have it printed.
    "\n{exception}"
)
_encoder = msgspec.json.Encoder()


def log_to(stream: TextIO, *, level: str, json: bool, context: Mapping[str, str], secrets: Iterable[str] = ()) -> None:
    """Send every log line of this process to `stream`, without `secrets`; `context` (role, version, ...) is in each."""
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
    """What loguru writes to when a person reads along."""

    def __init__(self, stream: TextIO, scrub: Callable[[str], str]) -> None:
        self._stream = stream
        self._scrub = scrub

    def write(self, message: str) -> None:
        self._stream.write(self._scrub(message))
        self._stream.flush()


class _JsonLines:
    """What loguru writes to otherwise; the frequent lines come here straight. Each is out when it was told: whatever
    kills the process, the last line before it is there."""

    def __init__(self, stream: TextIO, scrub: Callable[[str], str], context: Mapping[str, str], level: str) -> None:
        self._stream = stream
        self._scrub = scrub
        self._context = {name: scrub(value) for name, value in context.items()}
        self._told = logger.level("INFO").no >= logger.level(level).no
        self.stop = lines.go_to(self._tell)  # loguru calls it when it lets go of us

    def write(self, message: Message) -> None:
        record = message.record
        time = datetime.fromtimestamp(record["time"].timestamp(), UTC)  # its own class nobody else can encode
        said = _said(time, record["level"].name, record["message"], record["name"], record["extra"])
        if error := record["exception"]:
            said["error"] = self._scrub(f"{error.type.__name__ if error.type else ''}: {error.value}")
            said["traceback"] = self._scrub("".join(_traceback(error.type, error.value, error.traceback)))
        self._put(said)

    def _tell(self, name: str, event: str, facts: lines.Facts) -> None:
        if self._told:
            event, extra = _completed(event, facts, self._scrub)
            self._put(_said(datetime.now(UTC), "INFO", event, name, self._context | extra))

    def _put(self, said: dict[str, Any]) -> None:
        self._stream.write(_encoder.encode(said).decode() + "\n")
        self._stream.flush()


def _completed(event: str, facts: Mapping[str, Any], scrub: Callable[[str], str]) -> tuple[str, dict[str, Any]]:
    """Cleaned, with the trace and the order that are at work now."""
    extra: dict[str, Any] = {
        name: value if isinstance(value, (int, float, NoneType)) else scrub(str(value)) for name, value in facts.items()
    }
    if "order_id" not in extra and (order_id := current_order_id()):
        extra["order_id"] = scrub(order_id)
    if ids := current_ids():
        extra["trace_id"], extra["span_id"] = ids
    return scrub(event), extra


def _said(time: datetime, level: str, event: str, name: str | None, extra: Mapping[str, Any]) -> dict[str, Any]:
    return {"time": time, "level": level, "event": event, "logger": name, **extra}


def _traceback(type: Any, value: Any, trace: Any) -> list[str]:
    import traceback  # noqa: PLC0415  only when something went wrong

    return traceback.format_exception(type, value, trace)


class _Forwarding(logging.Handler):
    """Sends what libraries log by the standard library the same way."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"} else "INFO"
        logger.opt(exception=record.exc_info).bind(library=record.name).log(level, "{}", record.getMessage())


def wants_json(log_format: str, stream: TextIO = sys.stdout) -> bool:
    """`auto` is JSON unless `stream` is a terminal."""
    return log_format == "json" or (log_format == "auto" and not stream.isatty())
