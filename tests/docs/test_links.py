"""Every link, anchor, path and recipe on the pages exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, kinds, link_targets, name_of, prose, read

EXECUTED = {"bash", "bash walk", "bash own", "bash proof", "bash doctor", "python consumer", "sql"}
"""Kinds of code blocks that a test executes: test_commands.py, tests/ports/test_asyncapi.py, and the runbooks' calls
tests/observability/test_rules.py."""
SHOWN = {"text", "json", "mermaid"}
README_LINES_MAX, README_BYTES_MAX = 250, 16_000
every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def test_every_page_of_the_repository_is_checked() -> None:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert {ROOT / line for line in listed.split()} <= set(PAGES)


def test_the_readme_is_short() -> None:
    text = read(ROOT / "README.md")

    assert text.count("\n") <= README_LINES_MAX
    assert len(text.encode()) <= README_BYTES_MAX


@every_page
def test_links_and_anchors_exist(page: Path) -> None:
    broken: list[str] = []
    for each in link_targets(page):
        url = urlsplit(each)
        if url.scheme:
            continue
        target = (page.parent / url.path).resolve() if url.path else page
        if target.is_dir():
            target /= "README.md"
        exists = target.exists() and (not url.fragment or url.fragment in anchors(target))
        if not exists:
            broken.append(each)

    assert broken == []


@every_page
def test_every_code_block_is_executed_or_only_shown(page: Path) -> None:
    assert kinds(page) - SHOWN <= EXECUTED


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            targets = [
                (page.parent / urlsplit(each).path).resolve() for each in link_targets(page) if "://" not in each
            ]
            waiting += [target for target in targets if target.suffix == ".md"]

    assert reached == set(PAGES)


@every_page
def test_every_recipe_exists(page: Path) -> None:
    just = Path(sys.executable).parent / "just"
    listed = subprocess.run([just, "--summary"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    aliases = subprocess.run([just, "--list"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    recipes = {*listed.split(), *re.findall(r"\[alias: ([\w-]+)\]", aliases)}

    assert set(re.findall(r"(?:`|uv run |= |^)just ([a-z][\w-]*)", read(page), re.M)) - recipes == set()


@every_page
def test_every_path_exists(page: Path) -> None:
    named = re.findall(r"(?<![\w/.<-])((?:gofleet|tests|config|sql|proto)/[\w./-]*\w)", prose(page))

    assert [path for path in sorted(set(named)) if not (ROOT / path).exists()] == []
