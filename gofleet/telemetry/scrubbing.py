"""Keeps out of logs what must not stand there, whoever wrote the line: secrets, tokens, and where somebody is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

HIDDEN = "***"
SHORTEST = 8
"""A shorter one is a word, such as `gofleet`: hiding it everywhere would hide the log. Where it stands as a password
the rules below hide it all the same."""

_SIGNS = (":", "=", "eyJ", "earer ", "EARER ", "asic ", "ASIC ")
_DEGREE = re.compile(r"\.\d")
_NAMES = "password|passwd|secret|token|api[_-]?key"
_RULES = (
    # What came with an address, such as amqp://user:password@host; libraries like to quote the whole of it.
    (re.compile(r"(?<=://)[^/@\s]*:[^/\s]*@"), f"{HIDDEN}@"),
    (re.compile(r"\b(bearer|basic) +[\w.~+/=-]+", re.I), rf"\1 {HIDDEN}"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), HIDDEN),  # a JSON web token, wherever it stands
    (re.compile(rf"\b({_NAMES})([\"']?\s*[=:]\s*[\"']?)[^\s\"',;&]+", re.I), rf"\1\2{HIDDEN}"),
    # PostgreSQL tells the values of a row it refuses, in a line of its own.
    (re.compile(r"\b(DETAIL|CONTEXT):.*"), rf"\1: {HIDDEN}"),
    # A degree with two decimals is a kilometre. Times and distances lose nothing that anybody reads.
    (re.compile(r"(?<![\w.])(-?\d{1,3}\.\d\d)\d{2,}(?![\w.])"), r"\1"),
)


def scrubber(secrets: Iterable[str] = ()) -> Callable[[str], str]:
    """What takes them out of a text; `secrets` are those of this process."""
    ours = sorted({secret for secret in secrets if len(secret) >= SHORTEST}, key=len, reverse=True)

    def scrub(text: str) -> str:
        for secret in ours:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        if _suspect(text):
            for rule, instead in _RULES:
                text = rule.sub(instead, text)
        return text

    return scrub


def _suspect(text: str) -> bool:
    """Nothing that the rules look for is without one of these; most texts have none, and are let pass at once."""
    return any(map(text.__contains__, _SIGNS)) or ("." in text and _DEGREE.search(text) is not None)
