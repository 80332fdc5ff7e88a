"""The Markdown pages of the repository: their code blocks, headings and links."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / page
    for page in (
        "README.md",
        "SECURITY.md",
        "config/README.md",
        "config/prometheus/runbooks.md",
        "gofleet/README.md",
        "gofleet/adapters/http/README.md",
        "proto/README.md",
        "tests/README.md",
        "tests/bench/README.md",
    )
]
"""In the order in which their commands are run."""
_FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```", re.M | re.S)


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return str(page.relative_to(ROOT))


def blocks(kind: str, *pages: Path) -> list[str]:
    """The fenced code blocks of this kind, such as "bash walk", on these pages or on all."""
    return [code for page in pages or PAGES for found, code in _FENCED.findall(read(page)) if found == kind]


def kinds(page: Path) -> set[str]:
    """The kinds of fenced code blocks on the page."""
    return {kind for kind, _ in _FENCED.findall(read(page))}


def prose(page: Path) -> str:
    """The page without its fenced code blocks."""
    return _FENCED.sub("", read(page))


def anchors(page: Path) -> set[str]:
    """The page's headings as fragments, by GitHub's rule."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def link_targets(page: Path) -> list[str]:
    """Targets of the page's links and pictures."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))
