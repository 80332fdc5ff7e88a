"""Where a stream goes on, as clients keep it (`Last-Event-ID`): they must not build on what is inside."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from gofleet.adapters.http.parameters import BadParameter
from gofleet.domain.history import HistoryCursor

LONGEST_TOKEN = 64
TOKEN: dict[str, Any] = {"pattern": "^[A-Za-z0-9_-]+$", "max_length": LONGEST_TOKEN}
_MOMENT = re.compile(r"@([0-9]{1,18})\.([0-9]{1,18})")


def token_of(moment: HistoryCursor) -> str:
    return urlsafe_b64encode(f"@{moment.turn}.{moment.id}".encode()).decode().rstrip("=")


def moment_of(token: str) -> HistoryCursor:
    """`BadParameter` if it is not one that we gave."""
    try:
        text = urlsafe_b64decode(token[:LONGEST_TOKEN].encode("ascii") + b"=" * (-len(token) % 4)).decode("ascii")
    except ValueError:
        text = ""
    if len(token) > LONGEST_TOKEN or not (found := _MOMENT.fullmatch(text)):
        raise BadParameter("last_event_id", "is not one that we gave")
    return HistoryCursor(int(found[1]), int(found[2]))
