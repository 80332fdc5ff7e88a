"""Secrets and personal data never appear in a log, whichever library wrote the line."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Generator

import pytest
from loguru import logger
from psycopg.errors import CheckViolation

from gofleet.domain.errors import Unavailable
from gofleet.settings import load, secrets_of
from gofleet.telemetry.logging import log_to
from gofleet.telemetry.scrubbing import scrubber

OURS = 's3cr"et-of-this-process'
SIGNED = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl"
LAT, LNG = "-23.550521", "-46.633308"
CANARIES = (OURS, SIGNED, "hunter2", LAT, LNG, "23.5505", "46.6333", "Ana Lima")


@pytest.fixture(params=[True, False], ids=["json", "text"])
def log(request: pytest.FixtureRequest) -> Generator[io.StringIO]:
    stream, handlers = io.StringIO(), logging.root.handlers[:]
    log_to(stream, level="INFO", json=request.param, context={"role": "worker"}, secrets=[OURS])
    yield stream
    logger.remove()
    logging.captureWarnings(False)
    logging.root.handlers[:] = handlers


ERRORS = (
    CheckViolation(f'violates "x"\nDETAIL:  Failing row contains (o-1, Ana Lima, {LAT}, {LNG}).\nHINT: none'),
    ConnectionError("cannot connect to amqp://guest:hunter2@rabbit:5672/%2F"),
    ConnectionError(f"ACL refuses {OURS} for default"),
    Unavailable("redis", f"ERR invalid longitude,latitude pair {LNG},{LAT}"),
    PermissionError(f"401 for Authorization: Bearer {SIGNED}"),
    PermissionError(f"cannot read token {SIGNED}"),
    ValueError("conninfo host=db password=hunter2 user=gofleet"),
    ValueError(f'{{"password": "hunter2", "lat": {LAT}, "lng":{LNG}}}'),
)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_canaries_are_scrubbed_from_every_kind_of_line(log: io.StringIO, error: Exception) -> None:
    try:
        raise RuntimeError("around it") from error
    except RuntimeError:
        logger.exception("failed with {}", error)
    logger.bind(why=str(error)).warning("refused")
    logging.getLogger("psycopg").error("of a library: %s", error)
    logging.getLogger("py.warnings").warning("%s", error)

    output = log.getvalue()
    assert "around it" in output
    assert "of a library" in output
    for canary in CANARIES:
        assert canary not in output
        assert json.dumps(canary)[1:-1] not in output


def test_warnings_of_the_interpreter_are_scrubbed(log: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("something is old", DeprecationWarning, stacklevel=1)

    assert "something is old" in log.getvalue()


@pytest.mark.parametrize(
    "harmless",
    [
        "metrics and health on port 2112",
        "waiting, PostgreSQL cannot be reached: no connection in time (PoolTimeout)",
        "order o-1 is DISPATCHED, it cannot become PENDING",
        "version 0.1.0 at 10.0.0.12:5432, lag 0.25 s, 12:03:04.123",
        "password authentication failed for user gofleet",
        "0198c0de-0000-7000-8000-000000000001",
    ],
)
def test_harmless_text_is_kept(harmless: str) -> None:
    assert scrubber([OURS])(harmless) == harmless


def test_secrets_are_the_values_of_secret_settings() -> None:
    given = load({"DB_PASSWORD": "of-the-database", "REDIS_PASSWORD": "", "RABBITMQ_PASSWORD": "guest"}, dotenv=None)

    assert secrets_of(given) == ["of-the-database"]
