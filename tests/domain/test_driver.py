"""Drivers and their positions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gofleet.domain.driver import Driver, Position
from gofleet.domain.errors import Invalid
from gofleet.domain.place import Place
from tests.makers import CENTRE

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 101, "\0", "\u202e"])
def test_rejects_an_invalid_name(name: str) -> None:
    with pytest.raises(Invalid):
        Driver("ana", name).checked()


def test_rejects_a_position_in_the_future_beyond_the_clock_skew() -> None:
    Position("ana", CENTRE, NOW + timedelta(seconds=4)).checked(NOW)

    with pytest.raises(Invalid):
        Position("ana", CENTRE, NOW + timedelta(seconds=6)).checked(NOW)


def test_rejects_the_position_zero_zero() -> None:
    with pytest.raises(Invalid):
        Position("ana", Place(0, 0), NOW).checked(NOW)


NAMES = [
    "\u0da7\u0dca\u200d\u0dbb\u0dd2",  # Sinhala, with a zero width joiner
    "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",  # Persian, with a zero width non-joiner
    "Jean\u00a0Paul",  # no-break space
    "\U0001f469\u200d\U0001f692",  # one emoji of two
    "O'Neill-\u0160",
    "\u674e",
]


@pytest.mark.parametrize("name", NAMES)
def test_accepts_names_of_all_scripts(name: str) -> None:
    assert Driver("ana", name).checked().name == name


def test_a_name_is_stored_in_normal_form() -> None:
    assert Driver("ana", "Jose\u0301").checked().name == "Jos\xe9"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a\u202eb", "U+202E (RIGHT-TO-LEFT OVERRIDE) as its character 2"),
        ("a\u2066b", "U+2066 (LEFT-TO-RIGHT ISOLATE)"),
        ("a\u200b", "U+200B (ZERO WIDTH SPACE)"),
        ("a\ufeffb", "U+FEFF"),
        ("a\tb", "U+0009 (a control character) as its character 2"),
        ("a\x85b", "U+0085"),
        ("a\u2028b", "U+2028 (LINE SEPARATOR)"),
        ("\u200da", "U+200D (ZERO WIDTH JOINER) as its character 1"),
        ("a\u200c", "U+200C"),
        ("a \u200db", "U+200D"),
        ("a\u200d\u200db", "U+200D"),
        ("a\u00adb", "U+00AD (SOFT HYPHEN)"),
        ("\ue000", "U+E000"),
        ("\u00a0", "not all of them spaces or marks"),
        ("\u3164", "not all of them spaces or marks"),
        ("\u0301", "not all of them spaces or marks"),
        ("a" * 101, "1 to 100 characters"),
    ],
)
def test_says_which_character_of_a_name_is_refused(name: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        Driver("ana", name).checked()
    assert message in str(caught.value)
