"""Request headers of gRPC that grpclib would answer with a traceback, or not at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from grpclib import Status
from grpclib.metadata import decode_bin_value, decode_timeout

TIMEOUT = re.compile(r"[0-9]{1,8}[HMSmun]")
"""As the specification defines it: at most eight digits."""
TIMEOUT_SECONDS_MIN = 0.001
"""A call with less time has run out before it can be handled."""
SHOWN_CHARS_MAX = 64


class ErrorResponse(NamedTuple):
    http_status: int
    status: Status
    message: str


def error_response_of(headers: Sequence[tuple[str, str]]) -> ErrorResponse | None:
    """The response to a request with malformed headers, or without time left; None if it can be handled."""
    names = {name for name, _ in headers}
    if not {":method", ":path"} <= names:
        return ErrorResponse(400, Status.INTERNAL, "the request has no method or no path")
    for name, value in headers:
        if name == "grpc-timeout":
            if not TIMEOUT.fullmatch(value):
                return ErrorResponse(200, Status.INVALID_ARGUMENT, "grpc-timeout is malformed")
            if decode_timeout(value) < TIMEOUT_SECONDS_MIN:
                return ErrorResponse(200, Status.DEADLINE_EXCEEDED, "the deadline has passed")
        elif name.endswith("-bin") and not name.startswith((":", "grpc-")):
            try:
                decode_bin_value(value.encode("ascii"))
            except ValueError:
                return ErrorResponse(200, Status.INVALID_ARGUMENT, f"{name[:SHOWN_CHARS_MAX]} is not base64")
    return None
