"""Every setting: its name in the environment, its type with the values it may take, and what it is for.

The defaults stand in config/settings.toml; `.env` and then the environment override them. Values from both are taken
as they are written (never parsed as TOML), so a password may be `true` or `1e5`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Struct, field

from gofleet.settings.auth import AuthSettings
from gofleet.settings.fleet import FleetSettings
from gofleet.settings.group import SettingsGroup, about
from gofleet.settings.stream import StreamSettings
from gofleet.settings.telemetry import TelemetrySettings
from gofleet.settings.web import WebSettings


class GeneralSettings(SettingsGroup, frozen=True, kw_only=True):
    environment: Annotated[
        Literal["development", "production"], about("Which section of config/settings.toml applies.")
    ] = field(name="GOFLEET_ENV")
    broker: Annotated[Literal["rabbitmq", "redis"], about("What carries the events between the roles.")] = field(
        name="BROKER"
    )
    name_prefix: Annotated[
        str, about("Prefix of every exchange, queue, stream and Redis key, so that installations can share servers.")
    ] = field(name="NAME_PREFIX")
    grace_seconds: Annotated[float, about("How long SIGTERM waits for the work in hand.", gt=0)] = field(
        name="GRACE_SECONDS"
    )
    failpoints: Annotated[
        str, about("Where to die, freeze or fail, for tests: `worker.after_lease=kill@3;...`. Refused in production.")
    ] = field(name="GOFLEET_FAILPOINTS")


class PostgresSettings(SettingsGroup, frozen=True, kw_only=True):
    host: Annotated[str, about("Host of PostgreSQL.")] = field(name="DB_HOST")
    port: Annotated[int, about("Port of PostgreSQL.", ge=1, le=65535)] = field(name="DB_PORT")
    user: Annotated[str, about("Role to connect as.")] = field(name="DB_USER")
    password: Annotated[str, about("Its password.", secret=True)] = field(name="DB_PASSWORD")
    database: Annotated[str, about("Name of the database.")] = field(name="DB_NAME")
    sslmode: Annotated[
        Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"], about("As libpq's sslmode.")
    ] = field(name="DB_SSLMODE")
    sslrootcert: Annotated[
        str,
        about("As libpq's sslrootcert: PEM file of the authority that verify-ca and verify-full trust, or `system`."),
    ] = field(name="DB_SSLROOTCERT")
    pool_size: Annotated[int, about("Connections of one process at most.", ge=1)] = field(name="DB_POOL_SIZE")
    pool_wait_seconds: Annotated[float, about("Longest wait for a free connection, then 503.", gt=0)] = field(
        name="DB_POOL_WAIT_SECONDS"
    )
    connect_timeout_seconds: Annotated[int, about("Longest wait for a new connection.", ge=1)] = field(
        name="DB_CONNECT_TIMEOUT_SECONDS"
    )
    answer_timeout_seconds: Annotated[
        float,
        about("Longest silence of the server, more than the longest statement; then it is taken for lost.", gt=0),
    ] = field(name="DB_ANSWER_TIMEOUT_SECONDS")
    statement_timeout_ms: Annotated[int, about("Longest statement.", ge=1)] = field(name="DB_STATEMENT_TIMEOUT_MS")
    lock_timeout_ms: Annotated[int, about("Longest wait for a row's lock.", ge=1)] = field(name="DB_LOCK_TIMEOUT_MS")
    batch: Annotated[
        int, about("Orders that come at the same time and are written or read in one statement, at most.", ge=1)
    ] = field(name="DB_BATCH")
    batches_at_once: Annotated[
        int, about("Such statements of one kind under way, at most; what comes meanwhile goes into the next.", ge=1)
    ] = field(name="DB_BATCHES_AT_ONCE")
    batch_patience_ms: Annotated[
        float, about("The next such statement begins beside one that takes longer than that; 0: at once.", ge=0)
    ] = field(name="DB_BATCH_PATIENCE_MS")


class BrokerSettings(SettingsGroup, frozen=True, kw_only=True):
    host: Annotated[str, about("Host of RabbitMQ.")] = field(name="RABBITMQ_HOST")
    port: Annotated[int, about("AMQP port of RabbitMQ.", ge=1, le=65535)] = field(name="AMQP_PORT")
    user: Annotated[str, about("User of RabbitMQ.")] = field(name="RABBITMQ_USER")
    password: Annotated[str, about("Its password.", secret=True)] = field(name="RABBITMQ_PASSWORD")
    vhost: Annotated[str, about("Virtual host of RabbitMQ.")] = field(name="RABBITMQ_VHOST")
    declare: Annotated[
        Literal["on", "off"], about("Whether the roles make the exchange and the queues; `off`: `gofleet topology`.")
    ] = field(name="RABBITMQ_DECLARE")
    tls: Annotated[
        Literal["off", "on"], about("Whether the link to RabbitMQ is encrypted; AMQP_PORT is mostly 5671 then.")
    ] = field(name="RABBITMQ_TLS")
    tls_authority: Annotated[
        str, about("PEM file of the only authority that is trusted there; empty = those of this machine.")
    ] = field(name="RABBITMQ_TLS_CA")
    heartbeat_seconds: Annotated[int, about("After about twice this a silent connection is dead.", ge=1)] = field(
        name="RABBITMQ_HEARTBEAT_SECONDS"
    )
    publish_timeout_seconds: Annotated[float, about("Longest wait for a broker's confirmations.", gt=0)] = field(
        name="PUBLISH_TIMEOUT_SECONDS"
    )
    retry_tiers_seconds: Annotated[str, about("Delays before the second, third, ... try of a message.")] = field(
        name="RETRY_TIERS_SECONDS"
    )
    delivery_limit: Annotated[int, about("Crashes that one message may cause before it is parked.", ge=1)] = field(
        name="DELIVERY_LIMIT"
    )
    reclaim_idle_seconds: Annotated[
        float, about("BROKER=redis: after this a silent consumer's messages go to another.", gt=0)
    ] = field(name="RECLAIM_IDLE_SECONDS")

    @property
    def tiers(self) -> tuple[int, ...]:
        """The delays in seconds, ascending."""
        return tuple(sorted(int(text) for text in self.retry_tiers_seconds.split(",")))


class RedisSettings(SettingsGroup, frozen=True, kw_only=True):
    host: Annotated[str, about("Host of Redis or Valkey.")] = field(name="REDIS_HOST")
    port: Annotated[int, about("Port of Redis or Valkey.", ge=1, le=65535)] = field(name="REDIS_PORT")
    user: Annotated[str, about("User of its ACL; empty = its default user.")] = field(name="REDIS_USER")
    password: Annotated[str, about("Its password; empty = none.", secret=True)] = field(name="REDIS_PASSWORD")
    db: Annotated[int, about("Number of the database.", ge=0)] = field(name="REDIS_DB")
    tls: Annotated[Literal["off", "on"], about("Whether the link to Redis is encrypted.")] = field(name="REDIS_TLS")
    tls_authority: Annotated[
        str, about("PEM file of the only authority that is trusted there; empty = those of this machine.")
    ] = field(name="REDIS_TLS_CA")
    timeout_seconds: Annotated[float, about("Longest wait for an answer.", gt=0)] = field(name="REDIS_TIMEOUT_SECONDS")


class RelaySettings(SettingsGroup, frozen=True, kw_only=True):
    batch: Annotated[int, about("Events published in one transaction.", ge=1)] = field(name="RELAY_BATCH")
    replay_batch: Annotated[
        int, about("Parked messages put back in one transaction; few, for they may be large.", ge=1)
    ] = field(name="REPLAY_BATCH")
    judge_batch: Annotated[
        int, about("Orders judged in one statement, whether they had their driver in time.", ge=1)
    ] = field(name="JUDGE_BATCH")
    poll_seconds: Annotated[float, about("How often to look when no bell rings.", gt=0)] = field(
        name="RELAY_POLL_SECONDS"
    )
    max_attempts: Annotated[int, about("Refusals of one event before people must look.", ge=1)] = field(
        name="RELAY_MAX_ATTEMPTS"
    )
    sweep_seconds: Annotated[float, about("How often to look for orders that have waited for too long.", gt=0)] = field(
        name="SWEEP_SECONDS"
    )
    announce_again_seconds: Annotated[
        float, about("An order that still waits is announced again after this long, then after twice, ...", gt=0)
    ] = field(name="ANNOUNCE_AGAIN_SECONDS")
    prune_seconds: Annotated[float, about("How often to forget what is long over.", gt=0)] = field(name="PRUNE_SECONDS")
    prune_batch: Annotated[int, about("Rows of a table forgotten in one statement.", ge=1)] = field(name="PRUNE_BATCH")
    outbox_keep_days: Annotated[float, about("Days for which published events are kept.", gt=0)] = field(
        name="OUTBOX_KEEP_DAYS"
    )
    inbox_keep_days: Annotated[
        float, about("Days for which handled events are known; not fewer than those of published ones.", gt=0)
    ] = field(name="INBOX_KEEP_DAYS")
    parked_keep_days: Annotated[float, about("Days for which replayed messages are kept.", gt=0)] = field(
        name="PARKED_KEEP_DAYS"
    )


class WorkerSettings(SettingsGroup, frozen=True, kw_only=True):
    concurrency: Annotated[int, about("Messages handled at once.", ge=1)] = field(name="WORKER_CONCURRENCY")
    prefetch: Annotated[int, about("Messages held unacknowledged.", ge=1)] = field(name="WORKER_PREFETCH")
    max_attempts: Annotated[int, about("Counted tries of one message.", ge=1)] = field(name="WORKER_MAX_ATTEMPTS")
    deadline_seconds: Annotated[float, about("Longest single try.", gt=0)] = field(name="WORKER_DEADLINE_SECONDS")
    lease_seconds: Annotated[float, about("How long a dead worker blocks its event; longer than a try.", gt=0)] = field(
        name="WORKER_LEASE_SECONDS"
    )
    done_mark_seconds: Annotated[int, about("How long Redis remembers handled events.", ge=1)] = field(
        name="WORKER_DONE_MARK_SECONDS"
    )
    outage_hold_seconds: Annotated[
        float, about("How long a message waits in hand for Redis or PostgreSQL to come back.", gt=0)
    ] = field(name="WORKER_OUTAGE_HOLD_SECONDS")
    patience_seconds: Annotated[float, about("How long an order waits for a driver before people take over.", ge=0)] = (
        field(name="DISPATCH_PATIENCE_SECONDS")
    )
    t_max_seconds: Annotated[float, about("How long it waits at most, whatever the cause.", gt=0)] = field(
        name="T_MAX_SECONDS"
    )


class BreakerSettings(SettingsGroup, frozen=True, kw_only=True):
    min_calls: Annotated[int, about("Calls in the window before the breaker may open.", ge=1)] = field(
        name="BREAKER_MIN_CALLS"
    )
    failure_ratio: Annotated[float, about("Share of failures that opens it.", gt=0, le=1)] = field(
        name="BREAKER_FAILURE_RATIO"
    )
    window_seconds: Annotated[float, about("The sliding window.", gt=0)] = field(name="BREAKER_WINDOW_SECONDS")
    open_seconds: Annotated[float, about("How long the fleet is then left alone.", gt=0)] = field(
        name="BREAKER_OPEN_SECONDS"
    )
    probes: Annotated[int, about("Successes that close it again, and calls let through meanwhile.", ge=1)] = field(
        name="BREAKER_PROBES"
    )


class Settings(Struct, frozen=True, kw_only=True):
    """All of them. `sources` tells where each value came from, by the setting's name."""

    general: GeneralSettings
    postgres: PostgresSettings
    broker: BrokerSettings
    redis: RedisSettings
    web: WebSettings
    auth: AuthSettings
    stream: StreamSettings
    fleet: FleetSettings
    relay: RelaySettings
    worker: WorkerSettings
    breaker: BreakerSettings
    telemetry: TelemetrySettings
    sources: dict[str, str]

    def given(self, name: str) -> bool:
        """Whether somebody set it, rather than the defaults."""
        return self.sources.get(name, "").startswith((".env", "the environment"))
