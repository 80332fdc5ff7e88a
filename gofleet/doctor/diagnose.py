"""Examine everything at once, each within its time; nothing is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gofleet.doctor.findings import Case, CheckResults, Diagnosis
from gofleet.doctor.machine import of_ports, of_settings
from gofleet.doctor.postgres import of_postgres
from gofleet.doctor.rabbit import of_rabbit
from gofleet.doctor.redis import of_redis
from gofleet.doctor.roles import of_api, of_fleet

Examination = Callable[[Case, CheckResults], Awaitable[None]]
EXAMINATIONS: dict[str, Examination] = {
    "settings": of_settings,
    "PostgreSQL": of_postgres,
    "RabbitMQ": of_rabbit,
    "Redis": of_redis,
    "fleet": of_fleet,
    "api": of_api,
    "this machine": of_ports,
}
"""Subject -> who examines it; one that does not concern the case finds nothing."""


async def diagnose(case: Case) -> Diagnosis:
    """What each examination found."""
    found = [CheckResults(subject) for subject in EXAMINATIONS]
    await asyncio.gather(*(_within(case, each) for each in found))
    return Diagnosis([finding for each in found for finding in each.made])


async def _within(case: Case, found: CheckResults) -> None:
    try:
        async with asyncio.timeout(case.seconds):
            await EXAMINATIONS[found.subject](case, found)
    except TimeoutError:
        found.failed("answers", f"not all of it was seen within {case.seconds:g} s", "try again; it may be overloaded")
    except Exception as error:  # an examination may fail in ways that nobody foresaw; that is a finding, too
        found.failed(
            "examination", f"{type(error).__name__}: {error}", "this is a defect of the doctor; please report it"
        )
