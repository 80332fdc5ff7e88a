"""Diagnosis of an installation: whether the servers, settings and ports that the selected roles need are usable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gofleet.doctor.results import CheckResult, CheckResults, CheckState, Diagnosis, DoctorOptions
from gofleet.doctor.roles import check_api, check_fleet, check_ports, check_settings
from gofleet.doctor.servers import check_postgres, check_rabbit, check_redis

__all__ = ["CheckResult", "CheckState", "Diagnosis", "DoctorOptions", "diagnose"]

CHECKS: dict[str, Callable[[DoctorOptions, CheckResults], Awaitable[None]]] = {
    "settings": check_settings,
    "PostgreSQL": check_postgres,
    "RabbitMQ": check_rabbit,
    "Redis": check_redis,
    "fleet": check_fleet,
    "api": check_api,
    "this machine": check_ports,
}
"""Subject -> its checks; a subject that the selected roles do not need adds no results."""


async def diagnose(options: DoctorOptions) -> Diagnosis:
    """Run all checks concurrently, each subject within its timeout. Nothing is changed."""
    subjects = [CheckResults(subject) for subject in CHECKS]
    await asyncio.gather(*(_run_checks(options, results) for results in subjects))
    return Diagnosis([result for results in subjects for result in results.items])


async def _run_checks(options: DoctorOptions, results: CheckResults) -> None:
    try:
        async with asyncio.timeout(options.timeout_seconds):
            await CHECKS[results.subject](options, results)
    except TimeoutError:
        seen = f"the checks did not finish within {options.timeout_seconds:g} s"
        results.failed("answers", seen, "try again; it may be overloaded")
    except Exception as error:  # an unexpected error in one check must not hide the results of the others
        fix = "this is a defect of the doctor; please report it"
        results.failed("examination", f"{type(error).__name__}: {error}", fix)
