"""Asking a fleet service whether it serves, by gRPC's own health protocol."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from grpclib import GRPCError
from grpclib.client import Channel
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from gofleet.adapters.grpc.calls import SERVICE
from gofleet.adapters.grpc.connection import NO_ANSWER
from gofleet.domain.errors import FleetUnavailable


async def fleet_serves(host: str, port: int, *, timeout_seconds: float) -> bool:
    """Whether it says so; `FleetUnavailable` if nobody answers, or somebody else does."""
    channel = Channel(host, port)
    request = cast("Any", HealthCheckRequest)(service=SERVICE.strip("/"))
    try:
        async with asyncio.timeout(timeout_seconds):
            answer = await HealthStub(channel).Check(request)
    except GRPCError as error:
        raise FleetUnavailable(f"{error.status.name}: {error.message}") from error
    except NO_ANSWER as error:
        raise FleetUnavailable(str(error) or type(error).__name__) from error
    finally:
        channel.close()
    return cast("Any", answer).status == cast("Any", HealthCheckResponse).SERVING
