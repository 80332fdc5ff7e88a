"""The page that shows the API's description needs nobody but this server."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx

DOCS = "/api/v1/docs"
LINKING = {"src", "href", "action", "data", "srcset", "poster", "formaction", "background"}
ADDRESSES = (
    re.compile(r"""(?:https?|wss?|ftp):/*[^\s"'`)]+""", re.I),
    re.compile(r"""["'`(]//[^\s"'`)]+"""),
)
REFERENCES = (re.compile(r"""url\(\s*["']?([^"')]+)"""), re.compile(r"""(?:@import|import|from)\s+["']([^"']+)"""))


class Page(HTMLParser):
    """What an HTML page refers to, and what a strict policy would not let it do."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.inline: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        for name, value in attrs:
            if name in LINKING and value:
                self.references.append(value)
            if name == "style" or name.startswith("on") or (value or "").lower().startswith("javascript:"):
                self.inline.append(f"{tag} {name}")

    def handle_data(self, data: str) -> None:
        if self._inside in {"script", "style"} and data.strip():
            self.inline.append(self._inside)


async def walk(client: httpx.AsyncClient, start: str) -> dict[str, httpx.Response]:
    """All that can be reached from there by references, by path; AssertionError for one that leads elsewhere."""
    seen: dict[str, httpx.Response] = {}
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        answer = seen[path] = await client.get(path)
        assert answer.status_code == 200, path
        html = answer.headers["content-type"].startswith("text/html")
        text = answer.text
        found = Page(text).references if html else [one for pattern in REFERENCES for one in pattern.findall(text)]
        for reference in found:
            target = urlsplit(urljoin(f"http://here{path}", reference))
            assert target.netloc == "here", f"{path} refers to {reference}"
            waiting.append(target.path)
    return seen


async def test_everything_that_the_page_refers_to_is_here(client: httpx.AsyncClient) -> None:
    seen = await walk(client, DOCS)

    assert {DOCS, f"{DOCS}/page.css", f"{DOCS}/page.js", "/api/v1/openapi.json"} <= set(seen)
    for path, answer in seen.items():
        found = [one for pattern in ADDRESSES for one in pattern.findall(answer.text)]
        assert [one for one in found if not one.startswith("http://localhost:")] == [], path  # an example's own


async def test_the_browser_is_told_to_ask_nobody_else_and_to_run_nothing_inline(client: httpx.AsyncClient) -> None:
    for path in (DOCS, f"{DOCS}/page.js", f"{DOCS}/page.css"):
        answer = await client.get(path)
        assert answer.headers["content-type"].count("charset") == 1
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'self'"
        assert {policy[name] for name in ("object-src", "base-uri", "form-action", "frame-ancestors")} == {"'none'"}
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert Page((await client.get(DOCS)).text).inline == []


async def test_what_the_document_says_never_becomes_markup(client: httpx.AsyncClient) -> None:
    script = (await client.get(f"{DOCS}/page.js")).text

    dangerous = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", ".style")
    assert [word for word in dangerous if word in script] == []


async def test_a_reference_to_elsewhere_would_be_found() -> None:
    page = '<script src="//cdn.example/x.js"></script><p style="a" onclick="b">c</p><style>p {}</style>'

    assert Page(page).references == ["//cdn.example/x.js"]
    assert Page(page).inline == ["p style", "p onclick", "style"]
    assert [p.findall("fetch('https://cdn.example') + \"//other.example\"") for p in ADDRESSES] == [
        ["https://cdn.example"],
        ['"//other.example'],
    ]
