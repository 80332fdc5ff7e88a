"""The project's vocabulary: tests/words.toml lists the retired words, tests/words.py finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.words import (
    Finding,
    check,
    check_text,
    documents,
    duplicates,
    exemptions,
    main,
    sources,
    suite,
    unused_exemptions,
)

EXEMPTIONS_MAX = 20


def test_names_and_prose_of_the_product_have_no_retired_word() -> None:
    assert [str(finding) for finding in check(sources())] == []


def test_names_and_prose_of_the_tests_have_no_retired_word() -> None:
    assert [str(finding) for finding in check(suite())] == []


def test_pages_recipes_and_deployment_files_have_no_retired_word() -> None:
    assert [str(finding) for finding in check(documents())] == []


def test_every_public_name_is_defined_in_one_module() -> None:
    assert duplicates(sources()) == {}


def test_exemptions_are_few_explained_and_needed() -> None:
    assert len(exemptions()) <= EXEMPTIONS_MAX
    assert [each.found for each in exemptions() if len(each.reason.split()) < 4] == []
    assert unused_exemptions([*sources(), *suite(), *documents()]) == []


@pytest.mark.parametrize(
    ("source", "line", "word"),
    [
        ("def enter_door(): ...\n", 1, "enter_door"),
        ("class OrderDoorbell: ...\n", 1, "OrderDoorbell"),
        ("class Crowd: ...\n", 1, "Crowd"),
        ("x = 1\nLONGEST_PAUSE = 2\n", 2, "LONGEST_PAUSE"),
        ("def f(said): ...\n", 1, "said"),
        ("self.news = []\n", 1, "news"),
        ("import os as people\n", 1, "people"),
    ],
)
def test_finds_a_retired_name(source: str, line: int, word: str) -> None:
    assert [(each.line, each.found) for each in check_text(source, "gofleet/made_up.py")] == [(line, word)]


@pytest.mark.parametrize(
    ("source", "line", "word"),
    [
        ('"""An order handed to people."""\n', 1, "people"),
        ("x = 1\n# Nobody listens here.\n", 2, "Nobody"),
        ('raise ValueError(f"ask whoever made {x}")\n', 1, "whoever"),
        ('"""One.\n\nThe doorbell rings."""\n', 3, "doorbell"),
        ('logger.info("the worker is told later")\n', 1, "is told"),
    ],
)
def test_finds_retired_prose(source: str, line: int, word: str) -> None:
    found = [(each.line, each.found) for each in check_text(source, "gofleet/made_up.py")]

    assert (line, word) in found


def test_leaves_contracts_and_code_alone() -> None:
    source = (
        'name = "overcrowded"\nsettings["DISPATCH_PATIENCE_SECONDS"]\n"see `LIMIT_PERSON_RATE` and `overcrowded`"\n'
    )
    page = "The problem `overcrowded`.\n```bash\ncurl /everybody # whoever\n```\n"

    assert check_text(source, "gofleet/made_up.py") == []
    assert check_text(page, "made_up.md") == []


@pytest.mark.parametrize("path", ["made_up.md", "justfile", "compose.yaml", "config/made_up.toml"])
def test_finds_retired_prose_in_documents(path: str) -> None:
    assert check_text("# One.\n\n# Nobody does.\n", path) == [Finding(path, 3, "Nobody", "no caller, no client, none")]


def test_finds_a_public_name_in_two_modules(tmp_path: Path) -> None:
    package = tmp_path / "gofleet"
    package.mkdir()
    for name in ("one", "other"):
        (package / f"{name}.py").write_text("class Twice: ...\ndef _private(): ...\n", encoding="utf-8")
    (package / "third.py").write_text("class Once: ...\n", encoding="utf-8")

    assert duplicates(sources(tmp_path), tmp_path) == {"Twice": ["gofleet/one.py", "gofleet/other.py"]}


def test_retired_words_put_back_are_found_in_a_tree(tmp_path: Path) -> None:
    """One name, one sentence, one page and one test, in a repository of their own."""
    package = tmp_path / "gofleet"
    package.mkdir()
    (package / "door.py").write_text('"""Whoever enters."""\n', encoding="utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_made_up.py").write_text("def test_nobody_waits(): ...\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("Orders in hand.\n", encoding="utf-8")

    found = check([*sources(tmp_path), *suite(tmp_path), *documents(tmp_path)], tmp_path)

    assert [(each.path, each.found) for each in found] == [
        ("gofleet/door.py", "door"),
        ("gofleet/door.py", "Whoever"),
        ("tests/test_made_up.py", "test_nobody_waits"),
        ("README.md", "in hand"),
    ]


def test_the_command_lists_places_and_replacements(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tests/words.toml"]) in {0, 1}
    assert "retired words" in capsys.readouterr().err
