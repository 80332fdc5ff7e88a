"""Every setting: its name in the environment, its type with the allowed values, and its help text.

The defaults are in config/settings.toml; `.env` and then the environment override them. Values from both are taken
as they are written (never parsed as TOML), so a password may be `true` or `1e5`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Struct, field

from gofleet.settings.auth import AuthSettings
from gofleet.settings.fleet import BreakerSettings, FleetSettings
from gofleet.settings.group import SettingsGroup, about
from gofleet.settings.web import StreamSettings, WebSettings


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
    grace_seconds: Annotated[float, about("Grace period after SIGTERM for work in flight.", gt=0)] = field(
        name="GRACE_SECONDS"
    )
    failpoints: Annotated[
        str, about("Where to die, freeze or fail, for tests: `worker.after_lease=kill@3;...`. Refused in production.")
    ] = field(name="GOFLEET_FAILPOINTS")

    @property
    def key_prefix(self) -> str:
        """Prefix of all our keys in Redis."""
        return f"{self.name_prefix}gofleet:"


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
    pool_size: Annotated[int, about("Maximum number of connections of one process.", ge=1)] = field(name="DB_POOL_SIZE")
    pool_wait_seconds: Annotated[float, about("Timeout of acquiring a connection; then 503.", gt=0)] = field(
        name="DB_POOL_WAIT_SECONDS"
    )
    connect_timeout_seconds: Annotated[int, about("Timeout of opening a connection.", ge=1)] = field(
        name="DB_CONNECT_TIMEOUT_SECONDS"
    )
    answer_timeout_seconds: Annotated[
        float,
        about(
            "Timeout of any response of the server, longer than the longest statement; then the connection is closed.",
            gt=0,
        ),
    ] = field(name="DB_ANSWER_TIMEOUT_SECONDS")
    statement_timeout_ms: Annotated[int, about("As PostgreSQL's statement_timeout.", ge=1)] = field(
        name="DB_STATEMENT_TIMEOUT_MS"
    )
    lock_timeout_ms: Annotated[int, about("As PostgreSQL's lock_timeout.", ge=1)] = field(name="DB_LOCK_TIMEOUT_MS")
    batch: Annotated[int, about("Maximum number of concurrent orders written or read in one statement.", ge=1)] = field(
        name="DB_BATCH"
    )
    batches_at_once: Annotated[
        int, about("Maximum number of batch statements of one kind in flight; later orders join the next batch.", ge=1)
    ] = field(name="DB_BATCHES_AT_ONCE")
    batch_patience_ms: Annotated[
        float, about("The next batch starts beside one that takes longer than this; 0 = at once.", ge=0)
    ] = field(name="DB_BATCH_PATIENCE_MS")


class BrokerSettings(SettingsGroup, frozen=True, kw_only=True):
    host: Annotated[str, about("Host of RabbitMQ.")] = field(name="RABBITMQ_HOST")
    port: Annotated[int, about("AMQP port of RabbitMQ.", ge=1, le=65535)] = field(name="AMQP_PORT")
    user: Annotated[str, about("User of RabbitMQ.")] = field(name="RABBITMQ_USER")
    password: Annotated[str, about("Its password.", secret=True)] = field(name="RABBITMQ_PASSWORD")
    vhost: Annotated[str, about("Virtual host of RabbitMQ.")] = field(name="RABBITMQ_VHOST")
    declare: Annotated[
        Literal["on", "off"],
        about("Whether the roles declare the exchange and the queues; `off` = see `gofleet topology`."),
    ] = field(name="RABBITMQ_DECLARE")
    tls: Annotated[Literal["off", "on"], about("TLS for connections to RabbitMQ; AMQP_PORT is usually 5671 then.")] = (
        field(name="RABBITMQ_TLS")
    )
    tls_authority: Annotated[
        str, about("PEM file of the only trusted certificate authority; empty = those of the system.")
    ] = field(name="RABBITMQ_TLS_CA")
    heartbeat_seconds: Annotated[
        int, about("AMQP heartbeat; a connection silent for about twice this is closed.", ge=1)
    ] = field(name="RABBITMQ_HEARTBEAT_SECONDS")
    publish_timeout_seconds: Annotated[float, about("Timeout of publisher confirms.", gt=0)] = field(
        name="PUBLISH_TIMEOUT_SECONDS"
    )
    retry_tiers_seconds: Annotated[
        str, about("Delays before the second, third, ... attempt at a message, comma-separated.")
    ] = field(name="RETRY_TIERS_SECONDS")
    delivery_limit: Annotated[int, about("Redeliveries of one message before it is parked.", ge=1)] = field(
        name="DELIVERY_LIMIT"
    )
    reclaim_idle_seconds: Annotated[
        float,
        about(
            "BROKER=redis: messages of a consumer silent for this long go to another; bounds what its death costs.",
            gt=0,
        ),
    ] = field(name="RECLAIM_IDLE_SECONDS")

    @property
    def tiers(self) -> tuple[int, ...]:
        """The delays in seconds, ascending."""
        return tuple(sorted(int(text) for text in self.retry_tiers_seconds.split(",")))


class RedisSettings(SettingsGroup, frozen=True, kw_only=True):
    host: Annotated[str, about("Host of Redis or Valkey.")] = field(name="REDIS_HOST")
    port: Annotated[int, about("Port of Redis or Valkey.", ge=1, le=65535)] = field(name="REDIS_PORT")
    user: Annotated[str, about("ACL user; empty = the default user.")] = field(name="REDIS_USER")
    password: Annotated[str, about("Its password; empty = none.", secret=True)] = field(name="REDIS_PASSWORD")
    db: Annotated[int, about("Number of the database.", ge=0)] = field(name="REDIS_DB")
    tls: Annotated[Literal["off", "on"], about("TLS for connections to Redis.")] = field(name="REDIS_TLS")
    tls_authority: Annotated[
        str, about("PEM file of the only trusted certificate authority; empty = those of the system.")
    ] = field(name="REDIS_TLS_CA")
    timeout_seconds: Annotated[float, about("Timeout of commands.", gt=0)] = field(name="REDIS_TIMEOUT_SECONDS")


class RelaySettings(SettingsGroup, frozen=True, kw_only=True):
    batch: Annotated[int, about("Events published in one transaction.", ge=1)] = field(name="RELAY_BATCH")
    replay_batch: Annotated[
        int, about("Parked messages replayed in one transaction; keep it small, they may be large.", ge=1)
    ] = field(name="REPLAY_BATCH")
    judge_batch: Annotated[int, about("Orders evaluated in one statement for the dispatch deadline SLO.", ge=1)] = (
        field(name="JUDGE_BATCH")
    )
    poll_seconds: Annotated[float, about("Polling interval of the outbox when no notification arrives.", gt=0)] = field(
        name="RELAY_POLL_SECONDS"
    )
    linger_ms: Annotated[
        int,
        about(
            "How long an event that no dispatch waits for may wait for others before a relay is notified of it.", ge=0
        ),
    ] = field(name="RELAY_LINGER_MS")
    max_attempts: Annotated[
        int, about("Rejections of one event by the broker before the relay stops retrying it.", ge=1)
    ] = field(name="RELAY_MAX_ATTEMPTS")
    sweep_seconds: Annotated[float, about("Interval of looking for orders that have waited too long.", gt=0)] = field(
        name="SWEEP_SECONDS"
    )
    announce_again_seconds: Annotated[
        float, about("A pending order is re-published after this time, then after twice as long, ...", gt=0)
    ] = field(name="ANNOUNCE_AGAIN_SECONDS")
    prune_seconds: Annotated[float, about("Interval of deleting expired rows.", gt=0)] = field(name="PRUNE_SECONDS")
    prune_batch: Annotated[int, about("Rows deleted in one statement.", ge=1)] = field(name="PRUNE_BATCH")
    outbox_keep_days: Annotated[float, about("Retention of published events and ended exclusions in days.", gt=0)] = (
        field(name="OUTBOX_KEEP_DAYS")
    )
    inbox_keep_days: Annotated[
        float, about("Retention of handled event ids in days; at least OUTBOX_KEEP_DAYS.", gt=0)
    ] = field(name="INBOX_KEEP_DAYS")
    parked_keep_days: Annotated[float, about("Retention of replayed messages in days.", gt=0)] = field(
        name="PARKED_KEEP_DAYS"
    )


class WorkerSettings(SettingsGroup, frozen=True, kw_only=True):
    concurrency: Annotated[int, about("Maximum number of messages handled concurrently.", ge=1)] = field(
        name="WORKER_CONCURRENCY"
    )
    prefetch: Annotated[int, about("Prefetch: maximum number of unacknowledged messages.", ge=1)] = field(
        name="WORKER_PREFETCH"
    )
    max_attempts: Annotated[int, about("Maximum number of counted attempts at one message.", ge=1)] = field(
        name="WORKER_MAX_ATTEMPTS"
    )
    deadline_seconds: Annotated[float, about("Timeout of one attempt.", gt=0)] = field(name="WORKER_DEADLINE_SECONDS")
    lease_seconds: Annotated[
        float, about("Lease of an event, for which a crashed worker blocks it; longer than an attempt.", gt=0)
    ] = field(name="WORKER_LEASE_SECONDS")
    done_mark_seconds: Annotated[int, about("How long Redis keeps the mark of a handled event.", ge=1)] = field(
        name="WORKER_DONE_MARK_SECONDS"
    )
    outage_hold_seconds: Annotated[
        float, about("How long a message is held unacknowledged while Redis or PostgreSQL is unavailable.", gt=0)
    ] = field(name="WORKER_OUTAGE_HOLD_SECONDS")
    patience_seconds: Annotated[
        float, about("How long an order waits for a driver before it is escalated to manual dispatch.", ge=0)
    ] = field(name="DISPATCH_PATIENCE_SECONDS")
    t_max_seconds: Annotated[float, about("Maximum wait of an order for a driver, whatever the cause.", gt=0)] = field(
        name="T_MAX_SECONDS"
    )
    exclusion_seconds: Annotated[
        float, about("How long automatic dispatch excludes the last driver of a redispatch; 0 = off.", ge=0, le=86_400)
    ] = field(name="EXCLUSION_SECONDS")


class TelemetrySettings(SettingsGroup, frozen=True, kw_only=True):
    service_name: Annotated[str, about("Name in traces; empty = `gofleet-<role>`.")] = field(name="OTEL_SERVICE_NAME")
    otlp_endpoint: Annotated[str, about("OTLP/gRPC collector as `host:port`; empty = send no traces.")] = field(
        name="OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    traces_sampler: Annotated[
        Literal[
            "always_on",
            "always_off",
            "traceidratio",
            "parentbased_always_on",
            "parentbased_always_off",
            "parentbased_traceidratio",
        ],
        about("OpenTelemetry sampler by its standard name; `parentbased_` follows the parent's decision."),
    ] = field(name="OTEL_TRACES_SAMPLER")
    traces_sampler_arg: Annotated[float, about("Share of traces that `traceidratio` samplers record.", ge=0, le=1)] = (
        field(name="OTEL_TRACES_SAMPLER_ARG")
    )
    metrics_host: Annotated[str, about("Address that /metrics and /health of every role listen on.")] = field(
        name="METRICS_HOST"
    )
    metrics_port: Annotated[
        int,
        about(
            "Port of /metrics and /health; the default is replaced by the next free port if it is taken.",
            ge=1,
            le=65535,
        ),
    ] = field(name="METRICS_PORT")
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], about("Minimum level of log lines.")] = field(
        name="LOG_LEVEL"
    )
    log_format: Annotated[Literal["auto", "json", "text"], about("auto = text on a terminal, else JSON.")] = field(
        name="LOG_FORMAT"
    )


class Settings(Struct, frozen=True, kw_only=True):
    """All settings. `sources` maps a setting's name to the source of its value."""

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
        """Whether .env or the environment sets it, rather than the defaults."""
        return self.sources.get(name, "").startswith((".env", "the environment"))
