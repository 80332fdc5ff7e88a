"""A small HTTP server with configured responses, including streams, that records its requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

KEEP_OPEN = b""
"""Last chunk of a stream whose connection stays open."""
STREAM = "/api/v1/orders/stream"


@dataclass(frozen=True)
class ReceivedRequest:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class StubServer:
    """`answers` maps method and path to status and JSON body; `failures` come first, one for each request. An item of
    `streams` has the chunks of one connection, or the status of an error response."""

    url: str = ""
    answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict[tuple[str, str], tuple[int, Any]])
    failures: dict[tuple[str, str], list[tuple[int, Any]]] = field(
        default_factory=dict[tuple[str, str], list[tuple[int, Any]]]
    )
    streams: list[Sequence[bytes] | int] = field(default_factory=list[Sequence[bytes] | int])
    requests: list[ReceivedRequest] = field(default_factory=list[ReceivedRequest])
    closing: threading.Event = field(default_factory=threading.Event)

    def respond(self, method: str, path: str, body: Any, status: int = 200) -> None:
        self.answers[method, f"/api/v1{path}"] = (status, body)

    def requests_to(self, path: str) -> list[ReceivedRequest]:
        return [each for each in self.requests if each.path == f"/api/v1{path}"]


def problem(status: int, slug: str, title: str, detail: str) -> dict[str, Any]:
    return {"type": f"/problems/{slug}", "title": title, "status": status, "detail": detail}


def event_bytes(event: dict[str, Any], id: str | None = None) -> bytes:
    """Wire format of an event."""
    head = f"id: {id}\n" if id else ""
    return f"{head}event: {event.get('type', 'driver.moved')}\ndata: {json.dumps(event)}\n\n".encode()


PREAMBLE = b"retry: 10\n: here we are\n\n"


@contextmanager
def running_stub_server() -> Generator[StubServer]:
    stub = StubServer()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Suppressed."""

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = json.loads(raw) if raw else None
            stub.requests.append(ReceivedRequest(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body))
            if failures := stub.failures.get((self.command, parts.path)):
                self._respond(*failures.pop(0))
            elif (self.command, parts.path) in stub.answers:
                self._respond(*stub.answers[self.command, parts.path])
            elif parts.path == STREAM:
                self._stream(stub.streams.pop(0) if stub.streams else [PREAMBLE, KEEP_OPEN])
            else:
                self._respond(404, problem(404, "not-found", "Not Found", parts.path))

        do_GET = do_POST = do_PUT = _answer  # noqa: N815  names of the base class

        def _respond(self, status: int, document: Any) -> None:
            body = b"" if document is None else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _stream(self, chunks: Sequence[bytes] | int) -> None:
            if isinstance(chunks, int):
                self._respond(chunks, problem(chunks, "refused", "Refused", "not now"))
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.end_headers()
            with suppress(ConnectionError):  # the client closed the connection
                for chunk in chunks:
                    if chunk == KEEP_OPEN:
                        stub.closing.wait(30)
                    self.wfile.write(chunk)
                    self.wfile.flush()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    serving = threading.Thread(target=server.serve_forever, args=(0.02,))
    serving.start()
    try:
        yield stub
    finally:
        stub.closing.set()
        server.shutdown()
        serving.join()
        server.server_close()
