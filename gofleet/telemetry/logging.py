"""Logs: one line for each event, JSON unless a person reads along, with the trace and the order they belong to."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from types import NoneType
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
from loguru import logger
from opentelemetry import trace

from gofleet.telemetry.scrubbing import scrubber
from gofleet.telemetry.tracing import current_order_id

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
        _add_trace(record)
        _clean(record, scrub)

    logger.configure(patcher=complete, extra=dict(context))

    def write(message: Message) -> None:
        stream.write(_line(message.record, scrub) if json else scrub(message))
        stream.flush()

    # diagnose would print the values of variables: passwords, tokens, positions.
    logger.add(
        write,
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


def _add_trace(record: Record) -> None:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        record["extra"].update(trace_id=format(context.trace_id, "032x"), span_id=format(context.span_id, "016x"))
    if order_id := current_order_id():
        record["extra"].setdefault("order_id", order_id)


def _clean(record: Record, scrub: Callable[[str], str]) -> None:
    record["message"] = scrub(record["message"])
    for name, value in record["extra"].items():
        if not isinstance(value, (int, float, NoneType)):
            record["extra"][name] = scrub(str(value))


def _line(record: Record, scrub: Callable[[str], str]) -> str:
    said: dict[str, Any] = {
        "time": record["time"].isoformat(),
        "level": record["level"].name,
        "event": record["message"],
        "logger": record["name"],
        **record["extra"],
    }
    if error := record["exception"]:
        said["error"] = scrub(f"{error.type.__name__ if error.type else ''}: {error.value}")
        said["traceback"] = scrub("".join(_traceback(error.type, error.value, error.traceback)))
    return _encoder.encode(said).decode() + "\n"


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
