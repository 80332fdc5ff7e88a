"""Checks of PostgreSQL, RabbitMQ and Redis: reachability, login, version, privileges, schema, topology and clock."""

from __future__ import annotations

from gofleet import parts
from gofleet.adapters.postgres.diagnostics import NotGranted, PostgresState, postgres_state, without_record
from gofleet.adapters.postgres.migrate import MigrationError
from gofleet.adapters.postgres.preconditions import UnusableDatabase
from gofleet.adapters.rabbit.diagnostics import RabbitState, rabbit_state
from gofleet.adapters.rabbit.topology import summarize_names, topology_of
from gofleet.adapters.redis.audit import RedisAudit
from gofleet.adapters.redis.diagnostics import RedisState, redis_state
from gofleet.doctor.results import (
    FLEET,
    RELAY,
    WORKER,
    CheckResults,
    DoctorOptions,
    at_least,
    compare_clocks,
    probe_tcp,
)
from gofleet.domain.errors import LoginRefused, Unavailable

POSTGRES_VERSION_MIN = 150_000
RABBITMQ_VERSION_MIN = (3, 10)
REDIS_VERSION_MIN = (7, 0)
REDIS_TIMEOUT_SECONDS = 2.0
NO_EVICTION = "noeviction"
DRIVERS_SHOWN_MAX = 5
NOT_RESPONDING = "look at its log: it accepts connections but does not answer"


async def check_postgres(options: DoctorOptions, results: CheckResults) -> None:
    db = options.settings.postgres
    address = f"{db.host}:{db.port}"
    if not db.host.startswith("/") and (why := await probe_tcp(db.host, db.port)):
        results.failed("reachable", f"{address}: {why}", "start PostgreSQL, or set DB_HOST and DB_PORT to its address")
        return
    before = options.clock()
    try:
        state = await postgres_state(parts.conninfo(options.settings), options.roles)
    except UnusableDatabase as error:
        results.failed(error.check, error.why, error.fix)
        return
    except LoginRefused as error:
        fix = "check DB_USER, DB_PASSWORD, DB_NAME and DB_SSLMODE, and that the database exists"
        results.failed("login", f"{address} rejects {db.user} for database {db.database}: {error.why}", fix)
        return
    except NotGranted as error:
        results.failed("privileges", str(error), f"as an administrator, run: {error.fix}")
        return
    except MigrationError as error:
        results.failed("schema", str(error), "run the program version that this database belongs to")
        return
    except Unavailable as error:
        results.failed("reachable", f"{address}: {error.why}", NOT_RESPONDING)
        return
    results.ok("reachable", f"{address}, database {db.database} as {db.user}")
    results.ok("privileges", f"{db.user} has the privileges of {', '.join(options.roles)}")
    if state.may_create_temporary:
        fix = f'as an administrator, run: revoke temporary on database "{db.database}" from public'
        results.warning("temporary tables", f"{db.user} may create them, and fill the server's disk", fix)
    compare_clocks(results, before, state.now, options.clock())
    _check_postgres_version(state, results)
    _check_schema(state, results)
    _check_session_limits(options, state, results)


def _check_postgres_version(state: PostgresState, results: CheckResults) -> None:
    if state.version_number < POSTGRES_VERSION_MIN:
        results.failed("version", state.version, f"upgrade to PostgreSQL {POSTGRES_VERSION_MIN // 10_000} or newer")
    else:
        results.ok("version", state.version)
    if state.read_only:
        results.failed("writable", "it is a standby or read-only", "set DB_HOST to the primary")


def _check_schema(state: PostgresState, results: CheckResults) -> None:
    if state.missing:
        results.failed("schema", f"lacks {', '.join(state.missing)}", "`gofleet migrate`")
    else:
        results.ok("schema", "all migrations are applied")


def _check_session_limits(options: DoctorOptions, state: PostgresState, results: CheckResults) -> None:
    """Whether the session has the configured timeouts (a pooler may drop them), and enough connections are free."""
    db = options.settings.postgres
    seen = f"statements {state.statement_timeout_ms} ms, locks {state.lock_timeout_ms} ms"
    if (state.statement_timeout_ms, state.lock_timeout_ms) == (db.statement_timeout_ms, db.lock_timeout_ms):
        results.ok("timeouts", seen)
    else:
        fix = "configure the pooler to pass the startup parameter `options`, or connect without it"
        results.warning("timeouts", f"{seen}, not as configured", fix)
    free = state.connections_max - state.connections
    seen = f"{state.connections} of {state.connections_max} are in use, a process needs up to {db.pool_size}"
    if free < db.pool_size:
        results.warning("connections", seen, "raise max_connections, or lower DB_POOL_SIZE")
    else:
        results.ok("connections", seen)


async def check_rabbit(options: DoctorOptions, results: CheckResults) -> None:
    if options.settings.general.broker != "rabbitmq" or not options.has_role(RELAY, WORKER, FLEET):
        return
    broker = options.settings.broker
    address = f"{broker.host}:{broker.port}"
    if why := await probe_tcp(broker.host, broker.port):
        fix = "start RabbitMQ, or set RABBITMQ_HOST and AMQP_PORT to its address"
        results.failed("reachable", f"{address}: {why}", fix)
        return
    try:
        state = await rabbit_state(parts.rabbit_server(options.settings), topology_of(options.settings))
    except LoginRefused as error:
        results.failed("login", f"{address}: {error.why}", "check RABBITMQ_USER, RABBITMQ_PASSWORD and RABBITMQ_VHOST")
        return
    except Unavailable as error:
        results.failed("reachable", f"{address}: {error.why}", NOT_RESPONDING)
        return
    results.ok("reachable", f"{address}, virtual host {broker.vhost} as {broker.user}")
    if at_least(state.version, RABBITMQ_VERSION_MIN):
        results.ok("version", state.version)
    else:
        fix = f"upgrade to {'.'.join(map(str, RABBITMQ_VERSION_MIN))} or newer"
        results.failed("version", state.version or "unknown", fix)
    if broker.declare == "on":
        _check_declared_topology(state, results)
    else:
        _check_imported_topology(state, results)


def _check_imported_topology(state: RabbitState, results: CheckResults) -> None:
    if state.missing:
        fix = "import the output of `gofleet topology`, or set RABBITMQ_DECLARE=on for a user that may declare"
        results.failed("topology", f"{summarize_names(state.missing)} missing", fix)
    else:
        results.ok("topology", f"the exchange and {state.expected - 1} queues exist, declared externally")


def _check_declared_topology(state: RabbitState, results: CheckResults) -> None:
    if state.refused:
        fix = "grant configure, write and read permissions; or import `gofleet topology` and set RABBITMQ_DECLARE=off"
        results.failed("topology", f"not allowed to declare {summarize_names(list(state.refused))}", fix)
    for name, why in state.other.items():
        fix = "drain and delete it, so that a role declares it again; or use another NAME_PREFIX"
        results.failed("topology", f"{name}: {why}", fix)
    if len(state.missing) == state.expected:
        results.warning("topology", "nothing is declared yet", "the roles declare it when they start")
    elif state.missing:
        fix = "start a relay or a worker again: it declares what is missing"
        results.failed("topology", f"{summarize_names(state.missing)} missing", fix)
    elif not state.other and not state.refused:
        results.ok("topology", f"the exchange and {state.expected - 1} queues are as declared")


async def check_redis(options: DoctorOptions, results: CheckResults) -> None:
    is_broker = options.settings.general.broker == "redis"
    if not options.has_role(WORKER, FLEET) and not (is_broker and options.has_role(RELAY)):
        return
    redis = options.settings.redis
    address = f"{redis.host}:{redis.port}"
    if why := await probe_tcp(redis.host, redis.port):
        results.failed("reachable", f"{address}: {why}", "start Redis, or set REDIS_HOST and REDIS_PORT to its address")
        return
    before = options.clock()
    client = parts.a_redis(options.settings, REDIS_TIMEOUT_SECONDS)
    unregistered = set[str]()
    try:
        searches, scripts = options.has_role(FLEET), options.has_role(WORKER, FLEET)
        prefix = options.settings.general.key_prefix
        state = await redis_state(client, prefix, searches=searches, scripts=scripts)
        if searches and not state.refused:
            unregistered = await RedisAudit(client, prefix).unregistered_drivers()
    except LoginRefused as error:
        results.failed("login", f"{address}: {error.why}", "check REDIS_USER, REDIS_PASSWORD and REDIS_DB")
        return
    except Unavailable as error:
        results.failed("reachable", f"{address}: {error.why}", NOT_RESPONDING)
        return
    finally:
        await client.aclose()
    results.ok("reachable", f"{address}, database {redis.db}" + (f" as {redis.user}" if redis.user else ""))
    if state.now:
        compare_clocks(results, before, state.now, options.clock())
    _check_commands(state, results)
    if state.has_info:
        _check_redis_version(state, results)
        _check_memory(state, results, is_broker=is_broker)
    else:
        seen = "not visible to this user, nor are eviction and persistence; the default user may read them"
        results.ok("version", seen)

    if searches:
        await _check_drivers(options, unregistered, results)


async def _check_drivers(options: DoctorOptions, unregistered: set[str], results: CheckResults) -> None:
    """Whether all drivers in Redis have a record. One that has it will be registered at its next position."""
    try:
        drivers = await without_record(parts.conninfo(options.settings), sorted(unregistered))
    except Unavailable:
        return  # the checks of PostgreSQL give the reason
    if drivers:
        shown = ", ".join(drivers[:DRIVERS_SHOWN_MAX]) + (", ..." if len(drivers) > DRIVERS_SHOWN_MAX else "")
        seen = f"{len(drivers)} that send positions are not registered and get no orders: {shown}"
        results.warning("drivers", seen, "`gofleet drivers set ID --name NAME`, or PUT /api/v1/drivers/{driver_id}")
    else:
        results.ok("drivers", "all that send positions are registered")


def _check_redis_version(state: RedisState, results: CheckResults) -> None:
    seen = f"{state.product}, Redis {state.version}"
    if at_least(state.version, REDIS_VERSION_MIN):
        results.ok("version", seen)
    else:
        fix = f"upgrade to Redis {'.'.join(map(str, REDIS_VERSION_MIN))} or newer, or to Valkey"
        results.failed("version", seen, fix)
    if not state.writable:
        results.failed("writable", "it is a replica", "set REDIS_HOST to the primary")


def _check_commands(state: RedisState, results: CheckResults) -> None:
    for command, why in state.refused.items():
        results.failed("commands", f"{command}: {why}", "permit it for this user (ACL), or upgrade the server")
    if not state.refused:
        results.ok("commands", "all required commands are permitted")


def _check_memory(state: RedisState, results: CheckResults, *, is_broker: bool) -> None:
    """Data loss in Redis costs time but no order; it costs most time where Redis carries the events."""
    if state.eviction == NO_EVICTION:
        results.ok("eviction", state.eviction)
    else:
        fix = f"maxmemory-policy {NO_EVICTION}"
        results.warning("eviction", f"{state.eviction}: positions and leases may be evicted", fix)
    if state.persistent is not None and is_broker and not state.persistent:
        seen = "all events are lost when it stops; the sweeper re-publishes their orders later"
        results.warning("persistence", seen, "appendonly yes")
    elif state.persistent is not None:
        results.ok("persistence", "its data is persistent" if state.persistent else "not persistent, and need not be")
