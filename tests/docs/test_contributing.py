"""What gofleet/README.md tells contributors agrees with the code."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import ROOT, read

PAGE = read(ROOT / "gofleet" / "README.md")
RECIPES = dict(re.findall(r"^#### (.+)\n((?:(?!#).*\n)*)", PAGE, re.M))
DECISIONS = re.findall(r"^### D(\d+)\. (.+)\n((?:(?!#).*\n)*)", PAGE, re.M)


def test_there_is_a_recipe_for_each_kind_of_addition() -> None:
    kinds = [re.sub(r",.*", "", title) for title in RECIPES]

    assert kinds == [
        "An order field",
        "A route",
        "An event",
        "A setting",
        "A metric",
        "A process role",
        "An adapter",
    ]


@pytest.mark.parametrize("title", RECIPES)
def test_each_listed_file_mentions_the_example(title: str) -> None:
    """Case does not matter; a name in parentheses takes the place of the example in that file."""
    [example] = re.findall(r"`(.+?)`", title)
    lines = re.findall(r"^- (.+?): ", RECIPES[title], re.M)
    wrong: list[str] = []
    for line in lines:
        listed, _, other = line.partition(" (")
        word = other.strip("`)") or example
        for path in re.findall(r"`([^`]+)`", listed):
            file = ROOT / path
            if not file.is_file() or word.lower() not in file.read_text(encoding="utf-8").lower():
                wrong.append(f"{path}: {word}")

    assert len(lines) >= 5
    assert wrong == []


def test_decisions_are_numbered_and_complete() -> None:
    assert [int(number) for number, _, _ in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    incomplete = [
        title
        for _, title, text in DECISIONS
        if not re.match(
            r"\n\*\d{4}-\d\d-\d\d(, (changed|confirmed) \d{4}-\d\d-\d\d)?, (accepted|replaced by D\d+)\.\*"
            r" \*\*Context:\*\*",
            text,
        )
        or not re.search(r"\*\*Decision:\*\*.*\*\*Cost:\*\*", text, re.S)
    ]

    assert incomplete == []
