"""Headers of a message, as strings."""

from __future__ import annotations

from collections.abc import Mapping


def decode_headers(headers: Mapping[str, object]) -> dict[str, str]:
    """What is not text is shown as well as it can be; this never fails, whatever somebody sent."""
    return {name: _text(value) for name, value in headers.items()}


def _text(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    return value if isinstance(value, str) else str(value)
