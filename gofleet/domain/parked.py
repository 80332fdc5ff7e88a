"""Parked messages: the dead-letter storage, whose messages wait for an operator."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gofleet.domain.errors import Malformed, OrderNotFound
from gofleet.domain.messages import AGGREGATE_ID, ATTEMPT, CRASHES, EVENT_ID, QUEUES, Delivery, home_queue


class Cause(StrEnum):
    """Why a message was parked; a stable slug."""

    MALFORMED = "malformed"
    NO_SUCH_ORDER = "no-such-order"
    FAILED = "failed"
    CRASH_LOOP = "crash-loop"


class Stage(StrEnum):
    """WAITING: for an operator. REQUESTED: a replay was requested. REPLAYED: returned to its queue."""

    WAITING = "waiting"
    REQUESTED = "requested"
    REPLAYED = "replayed"


DETAIL_CHARS_MAX = 500
SHOWN_ID_CHARS_MAX = 64
"""Ids in headers of parked messages may be of any length; what is shown of them is not."""


def shown_id(delivery: Delivery, header: str) -> str | None:
    """The beginning of an id in the headers; None without one."""
    return delivery.headers.get(header, "")[:SHOWN_ID_CHARS_MAX] or None


@dataclass(frozen=True)
class HandlingFailure:
    """Why handling a message failed for good: cause, type of the error and its text; `about` are ids in that text."""

    cause: Cause
    kind: str
    text: str
    about: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: Exception) -> HandlingFailure:
        kind, text = type(error).__name__, str(error)[:DETAIL_CHARS_MAX]
        about = tuple(str(getattr(error, name, "")) for name in ("order_id", "driver_id", "event_id"))
        match error:
            case Malformed():
                return cls(Cause.MALFORMED, kind, text, about)
            case OrderNotFound():
                return cls(Cause.NO_SUCH_ORDER, kind, text, about)
            case _:
                return cls(Cause.FAILED, kind, f"{kind}: {text}", about)

    def fingerprint(self, delivery: Delivery) -> str:
        """Fingerprint of the failure, equal for failures that differ only in ids and values: 12 hex digits."""
        ids = (*self.about, delivery.headers.get(AGGREGATE_ID, ""), delivery.headers.get(EVENT_ID, ""))
        parts = (home_queue(delivery.queue), self.cause.value, self.kind, _normalised(self.text, ids))
        return hashlib.sha256("\n".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:12]


CRASH_LOOP = HandlingFailure(Cause.CRASH_LOOP, "", "crashed its consumer repeatedly")


@dataclass(frozen=True)
class ParkedMessage:
    """Parked message without its body. Times are the database's; `error` is the reason of a refused replay."""

    id: int
    queue: str
    stage: Stage
    cause: Cause
    detail: str
    fingerprint: str
    event_id: str | None
    order_id: str | None
    attempts: int
    body_bytes: int
    parked_at: datetime
    replay_requested_at: datetime | None = None
    replayed_at: datetime | None = None
    replay_count: int = 0
    error: str | None = None


@dataclass(frozen=True)
class ParkedGroup:
    """Parked messages with one fingerprint: `count` in all, `waiting` ones that can be replayed, and their period."""

    fingerprint: str
    queue: str
    cause: Cause
    detail: str
    count: int
    waiting: int
    first_at: datetime
    last_at: datetime


def as_replay(delivery: Delivery) -> Delivery:
    """The delivery as it returns to its work queue: its counters begin again, but it is no first delivery."""
    headers = {name: value for name, value in delivery.headers.items() if name != CRASHES}
    return Delivery(home_queue(delivery.queue), delivery.body, {**headers, ATTEMPT: "0"})


def is_replayable(queue: str) -> bool:
    """Whether a GoFleet role consumes `queue`, so that messages may return to it."""
    return queue in QUEUES


FINGERPRINT_CHARS_MAX = 500
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")
_WITH_DIGITS = re.compile(r"[\w.:-]*\d[\w.:-]*")


def _normalised(text: str, ids: tuple[str, ...]) -> str:
    """`text` with ids, quoted values and numbers replaced by `*`."""
    text = text[:FINGERPRINT_CHARS_MAX]
    for id in ids:
        if not 0 < len(id) <= len(text):  # a header of a megabyte is in no text, and looking for it takes seconds
            continue
        text = re.sub(rf"(?<![\w.:-]){re.escape(id)}(?![\w.:-])", "*", text)
    return " ".join(_WITH_DIGITS.sub("*", _QUOTED.sub("*", text)).split())
