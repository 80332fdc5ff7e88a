"""Just enough of PostgreSQL's protocol to know which statements a client runs."""

from __future__ import annotations

from dataclasses import dataclass, field

STARTUP_BYTES = 4
"""The first message of a connection has no type, only its length."""


@dataclass
class Statements:
    """Parses what a client sends; returns the SQL of every statement."""

    _buffer: bytes = b""
    _started: bool = False
    _prepared: dict[bytes, str] = field(default_factory=dict[bytes, str])
    _bound: str = ""

    def feed(self, data: bytes) -> list[str]:
        self._buffer += data
        run: list[str] = []
        while (message := self._next()) is not None:
            kind, body = message
            match kind:
                case b"P":  # Parse: name, query
                    name, query, _ = body.split(b"\0", 2)
                    self._prepared[name] = query.decode("utf-8", "replace")
                case b"B":  # Bind: portal, name of the prepared statement
                    _, name, _ = body.split(b"\0", 2)
                    self._bound = self._prepared.get(name, "")
                case b"E":
                    run.append(self._bound)
                case b"Q":
                    run.append(body.rstrip(b"\0").decode("utf-8", "replace"))
                case _:
                    pass
        return run

    def _next(self) -> tuple[bytes, bytes] | None:
        head = 0 if not self._started else 1
        if len(self._buffer) < head + STARTUP_BYTES:
            return None
        length = int.from_bytes(self._buffer[head : head + STARTUP_BYTES], "big")
        end = head + length
        if len(self._buffer) < end:
            return None
        kind, body = self._buffer[:head], self._buffer[head + STARTUP_BYTES : end]
        self._buffer = self._buffer[end:]
        self._started = True
        return kind, body
