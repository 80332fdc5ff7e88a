"""Removes secrets, tokens and exact positions from log messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

HIDDEN = "***"
SECRET_CHARS_MIN = 8
"""Shorter secrets are ordinary words such as `gofleet`, which would mask too much; the rules below still mask them
where they appear as a password."""

_SIGNS = (":", "=", "eyJ", "earer ", "EARER ", "asic ", "ASIC ")
_DEGREE = re.compile(r"\.\d")
_NAMES = "password|passwd|secret|token|api[_-]?key"
_RULES = (
    # Credentials in a URL such as amqp://user:password@host, which libraries quote in their errors.
    (re.compile(r"(?<=://)[^/@\s]*:[^/\s]*@"), f"{HIDDEN}@"),
    (re.compile(r"\b(bearer|basic) +[\w.~+/=-]+", re.I), rf"\1 {HIDDEN}"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), HIDDEN),  # a JSON Web Token
    (re.compile(rf"\b({_NAMES})([\"']?\s*[=:]\s*[\"']?)[^\s\"',;&]+", re.I), rf"\1\2{HIDDEN}"),
    # PostgreSQL quotes the values of a refused row on a line of its own.
    (re.compile(r"\b(DETAIL|CONTEXT):.*"), rf"\1: {HIDDEN}"),
    # A degree with two decimals is about a kilometre; times and distances keep enough digits.
    (re.compile(r"(?<![\w.])(-?\d{1,3}\.\d\d)\d{2,}(?![\w.])"), r"\1"),
)


def scrubber(secrets: Iterable[str] = ()) -> Callable[[str], str]:
    """Function that masks secrets in a text; `secrets` are the values of this process."""
    ours = sorted({secret for secret in secrets if len(secret) >= SECRET_CHARS_MIN}, key=len, reverse=True)

    def scrub(text: str) -> str:
        for secret in ours:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        if _may_match(text):
            for rule, replacement in _RULES:
                text = rule.sub(replacement, text)
        return text

    return scrub


def _may_match(text: str) -> bool:
    """Fast pre-check: every match of a rule contains one of the signs, and most texts contain none."""
    return any(map(text.__contains__, _SIGNS)) or ("." in text and _DEGREE.search(text) is not None)
