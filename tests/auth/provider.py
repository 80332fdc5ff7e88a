"""An OpenID provider over HTTP that serves the documents which a test gives it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gofleet.adapters.http.asgi import Receive, Scope, Send, respond
from gofleet.adapters.http.server import serving

METADATA = "/.well-known/openid-configuration"


@dataclass
class Page:
    """With `drip_seconds` the body is sent one byte at a time, with such pauses."""

    status: int
    body: bytes
    location: str = ""
    drip_seconds: float = 0.0


@dataclass
class Provider:
    """`pages` by path; `requests` are the requested paths, in order."""

    url: str = ""
    pages: dict[str, Page] = field(default_factory=dict[str, Page])
    requests: list[str] = field(default_factory=list[str])

    def publish(self, keys: object, **metadata: object) -> None:
        """Serve a key set, and metadata that refer to it."""
        document = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **metadata}
        self.pages[METADATA] = Page(200, json.dumps(document).encode())
        self.pages["/keys"] = Page(200, json.dumps(keys).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        self.requests.append(scope["path"])
        page = self.pages.get(scope["path"], Page(404, b"{}"))
        if page.drip_seconds:
            await _drip(page, send)
        else:
            await respond(send, page.status, "application/json", page.body, ("location", page.location))


async def _drip(page: Page, send: Send) -> None:
    await send({"type": "http.response.start", "status": page.status, "headers": []})
    for byte in page.body:
        await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
        await asyncio.sleep(page.drip_seconds)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@asynccontextmanager
async def a_provider() -> AsyncGenerator[Provider]:
    provider = Provider()
    async with serving(provider, "127.0.0.1", 0, grace_seconds=1) as listening:
        provider.url = listening.url
        yield provider
