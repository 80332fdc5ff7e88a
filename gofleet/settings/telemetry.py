"""What a process tells of itself: traces, metrics and logs."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import field

from gofleet.settings.group import SettingsGroup, about


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
        about("Which traces are recorded; `parentbased_` = as whoever began them decided."),
    ] = field(name="OTEL_TRACES_SAMPLER")
    traces_sampler_arg: Annotated[float, about("Share of traces that a `traceidratio` records.", ge=0, le=1)] = field(
        name="OTEL_TRACES_SAMPLER_ARG"
    )
    metrics_host: Annotated[str, about("Address that /metrics and /health of every role listen on.")] = field(
        name="METRICS_HOST"
    )
    metrics_port: Annotated[
        int,
        about("Port of /metrics and /health; if it is taken and not set by you, the next free one.", ge=1, le=65535),
    ] = field(name="METRICS_PORT")
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], about("Least level that is logged.")] = field(
        name="LOG_LEVEL"
    )
    log_format: Annotated[Literal["auto", "json", "text"], about("auto = text on a terminal, else JSON.")] = field(
        name="LOG_FORMAT"
    )
