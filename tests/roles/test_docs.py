"""The documentation page is self-contained."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx

DOCS = "/api/v1/docs"
LINKING = {"src", "href", "action", "data", "srcset", "poster", "formaction", "background"}
URLS = (
    re.compile(r"""(?:https?|wss?|ftp):/*[^\s"'`)]+""", re.I),
    re.compile(r"""["'`(]//[^\s"'`)]+"""),
)
REFERENCES = (re.compile(r"""url\(\s*["']?([^"')]+)"""), re.compile(r"""(?:@import|import|from)\s+["']([^"']+)"""))


class Page(HTMLParser):
    """The references of an HTML page, and its inline code and styles, which a strict policy forbids."""

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
    """Everything reachable by references, by path; AssertionError for a reference to another server."""
    seen: dict[str, httpx.Response] = {}
    pending = [start]
    while pending:
        path = pending.pop()
        if path in seen:
            continue
        response = seen[path] = await client.get(path)
        assert response.status_code == 200, path
        html = response.headers["content-type"].startswith("text/html")
        text = response.text
        references = (
            Page(text).references if html else [match for pattern in REFERENCES for match in pattern.findall(text)]
        )
        for reference in references:
            target = urlsplit(urljoin(f"http://server{path}", reference))
            assert target.netloc == "server", f"{path} refers to {reference}"
            pending.append(target.path)
    return seen


async def test_the_page_refers_only_to_this_server(client: httpx.AsyncClient) -> None:
    seen = await walk(client, DOCS)

    assert {DOCS, f"{DOCS}/page.css", f"{DOCS}/page.js", "/api/v1/openapi.json"} <= set(seen)
    for path, response in seen.items():
        found = [one for pattern in URLS for one in pattern.findall(response.text)]
        assert [one for one in found if not one.startswith("http://localhost:")] == [], path  # an example's own


async def test_the_root_leads_a_browser_to_the_page(client: httpx.AsyncClient) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}

    response = await client.get("/", headers=browser)

    assert (response.status_code, response.headers["location"]) == (303, DOCS)
    for accept in ("*/*", "application/json"):
        response = await client.get("/", headers={"Accept": accept})
        assert (response.status_code, response.json()["type"]) == (404, "/problems/not-found")


async def test_the_policy_forbids_other_origins_and_inline_code(client: httpx.AsyncClient) -> None:
    for path in (DOCS, f"{DOCS}/page.js", f"{DOCS}/page.css"):
        response = await client.get(path)
        assert response.headers["content-type"].count("charset") == 1
        policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'self'"
        assert {policy[name] for name in ("object-src", "base-uri", "form-action", "frame-ancestors")} == {"'none'"}
        assert "unsafe" not in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
    assert Page((await client.get(DOCS)).text).inline == []


async def test_the_page_takes_a_token_and_shows_it_nowhere(client: httpx.AsyncClient) -> None:
    page, script = (await client.get(DOCS)).text, (await client.get(f"{DOCS}/page.js")).text

    assert '<input id="token" type="password"' in page
    assert script.count("Bearer ${token}") == 1  # in the request; the command shows a variable
    assert "Authorization: Bearer $TOKEN" in script
    assert "Storage" not in script


async def test_the_page_never_inserts_text_as_markup(client: httpx.AsyncClient) -> None:
    script = (await client.get(f"{DOCS}/page.js")).text

    dangerous = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", ".style")
    assert [word for word in dangerous if word in script] == []


async def test_the_checker_finds_references_to_other_servers() -> None:
    page = '<script src="//cdn.example/x.js"></script><p style="a" onclick="b">c</p><style>p {}</style>'

    assert Page(page).references == ["//cdn.example/x.js"]
    assert Page(page).inline == ["p style", "p onclick", "style"]
    assert [p.findall("fetch('https://cdn.example') + \"//other.example\"") for p in URLS] == [
        ["https://cdn.example"],
        ['"//other.example'],
    ]
