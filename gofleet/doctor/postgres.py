"""PostgreSQL: there, ours, recent enough, migrated, on time."""

from __future__ import annotations

from gofleet import parts
from gofleet.adapters.postgres.diagnostics import PostgresState, postgres_state
from gofleet.adapters.postgres.migrate import MigrationError
from gofleet.adapters.postgres.privileges import NotGranted
from gofleet.doctor.findings import Case, CheckResults
from gofleet.doctor.probes import compare_clocks, knock
from gofleet.domain.errors import LoginRefused, Unavailable

OLDEST = 150_000


async def of_postgres(case: Case, found: CheckResults) -> None:
    db = case.settings.postgres
    where = f"{db.host}:{db.port}"
    if not db.host.startswith("/") and (why := await knock(db.host, db.port)):
        found.failed("reachable", f"{where}: {why}", "start PostgreSQL, or set DB_HOST and DB_PORT to where it is")
        return
    before = case.clock()
    try:
        state = await postgres_state(parts.conninfo(case.settings), case.roles)
    except LoginRefused as error:
        fix = "check DB_USER, DB_PASSWORD, DB_NAME and DB_SSLMODE, and that the database exists"
        found.failed("login", f"{where} does not let {db.user} into {db.database}: {error.why}", fix)
        return
    except NotGranted as error:
        found.failed("privileges", str(error), f"have an administrator say: {error.fix}")
        return
    except MigrationError as error:
        found.failed("schema", str(error), "run the program that this database belongs to")
        return
    except Unavailable as error:
        found.failed("reachable", f"{where}: {error.why}", "look at its log: it listens and does not answer")
        return
    found.ok("reachable", f"{where}, database {db.database} as {db.user}")
    found.ok("privileges", f"{db.user} may do what {', '.join(case.roles)} do")
    compare_clocks(found, before, state.now, case.clock())
    _version(state, found)
    _schema(state, found)
    _bounds(case, state, found)


def _version(state: PostgresState, found: CheckResults) -> None:
    if state.version_number < OLDEST:
        found.failed("version", state.version, f"upgrade it to PostgreSQL {OLDEST // 10_000} or newer")
    else:
        found.ok("version", state.version)
    if state.read_only:
        found.failed("writable", "it is a standby, or read only", "set DB_HOST to the primary")


def _schema(state: PostgresState, found: CheckResults) -> None:
    if state.missing:
        found.failed("schema", f"lacks {', '.join(state.missing)}", "`gofleet migrate`")
    else:
        found.ok("schema", "every migration is applied")


def _bounds(case: Case, state: PostgresState, found: CheckResults) -> None:
    """Whether our sessions are as bounded as we ask for (a pooler in between may drop that), and find room."""
    db = case.settings.postgres
    if (state.statement_timeout_ms, state.lock_timeout_ms) == (db.statement_timeout_ms, db.lock_timeout_ms):
        found.ok("timeouts", f"statements {state.statement_timeout_ms} ms, locks {state.lock_timeout_ms} ms")
    else:
        seen = f"statements {state.statement_timeout_ms} ms, locks {state.lock_timeout_ms} ms, not what we ask for"
        found.warning("timeouts", seen, "let the pooler in between pass `options` on, or connect without it")
    free = state.most_connections - state.connections
    seen = f"{state.connections} of {state.most_connections} are taken, a process takes up to {db.pool_size}"
    if free < db.pool_size:
        found.warning("connections", seen, "raise max_connections, or lower DB_POOL_SIZE")
    else:
        found.ok("connections", seen)
