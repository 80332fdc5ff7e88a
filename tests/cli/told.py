"""A small HTTP server that answers as it is told, streams included, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

HANG = b""
"""As the last piece of a stream: keep the connection open."""
STREAM = "/api/v1/orders/stream"


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Told:
    """`answers` maps method and path to status and JSON, for good; `streams` are given one for each connection, and
    a number instead of pieces is the status of a refusal."""

    url: str = ""
    answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict[tuple[str, str], tuple[int, Any]])
    streams: list[Sequence[bytes] | int] = field(default_factory=list[Sequence[bytes] | int])
    asked: list[Asked] = field(default_factory=list[Asked])
    closing: threading.Event = field(default_factory=threading.Event)

    def on(self, method: str, path: str, body: Any, status: int = 200) -> None:
        self.answers[method, f"/api/v1{path}"] = (status, body)

    def asked_for(self, path: str) -> list[Asked]:
        return [each for each in self.asked if each.path == f"/api/v1{path}"]


def problem(status: int, slug: str, title: str, detail: str) -> dict[str, Any]:
    return {"type": f"/problems/{slug}", "title": title, "status": status, "detail": detail}


def sent(event: dict[str, Any], id: str | None = None) -> bytes:
    """An event as the stream sends it."""
    head = f"id: {id}\n" if id else ""
    return f"{head}event: {event.get('type', 'driver.moved')}\ndata: {json.dumps(event)}\n\n".encode()


BEGIN = b"retry: 10\n: here we are\n\n"


@contextmanager
def a_told_server() -> Generator[Told]:
    told = Told()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Not to the terminal of the tests."""

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = json.loads(raw) if raw else None
            told.asked.append(Asked(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body))
            if (self.command, parts.path) in told.answers:
                self._say(*told.answers[self.command, parts.path])
            elif parts.path == STREAM:
                self._stream(told.streams.pop(0) if told.streams else [BEGIN, HANG])
            else:
                self._say(404, problem(404, "not-found", "Not Found", parts.path))

        do_GET = do_POST = do_PUT = _answer  # noqa: N815  its names

        def _say(self, status: int, said: Any) -> None:
            body = b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _stream(self, pieces: Sequence[bytes] | int) -> None:
            if isinstance(pieces, int):
                self._say(pieces, problem(pieces, "refused", "Refused", "not now"))
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.end_headers()
            with suppress(ConnectionError):  # whoever has seen enough leaves
                for piece in pieces:
                    if piece == HANG:
                        told.closing.wait(30)
                    self.wfile.write(piece)
                    self.wfile.flush()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    serving = threading.Thread(target=server.serve_forever, args=(0.02,))
    serving.start()
    try:
        yield told
    finally:
        told.closing.set()
        server.shutdown()
        serving.join()
        server.server_close()
