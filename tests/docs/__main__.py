"""`just pages`: writes the settings table into config/README.md."""

from __future__ import annotations

from pathlib import Path

from gofleet.cli.config import markdown_table
from tests.docs.pages import ROOT, read

SETTINGS_PAGE = ROOT / "config" / "README.md"
BEGIN, END = "<!-- settings: written by `just pages` -->", "<!-- settings: end -->"


def with_settings(text: str) -> str:
    """The page with the present settings between its marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"no {BEGIN} ... {END}")
    return f"{before}{begin}\n\n{markdown_table()}\n\n{end}{after}"


def main(page: Path = SETTINGS_PAGE) -> None:
    page.write_text(with_settings(read(page)), encoding="utf-8")


if __name__ == "__main__":
    main()
