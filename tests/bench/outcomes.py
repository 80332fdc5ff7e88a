"""What became of the requests of a load."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.bench.figures import percentile


@dataclass
class Outcome:
    """The lists go together, one entry for each request, in the order of the answers, warm-up included.

    `due`: when it was to be sent, seconds of time.time; `took`: seconds from then to its answer; `statuses`: 0 for a
    connection that broke. What was due from `began` to `ended` is measured.
    """

    began: float
    ended: float
    numbers: list[int] = field(default_factory=list[int])
    due: list[float] = field(default_factory=list[float])
    took: list[float] = field(default_factory=list[float])
    statuses: list[int] = field(default_factory=list[int])
    unexplained: int = 0
    """Answers 429 and 503 without Retry-After."""
    cpu_seconds: float = 0.0
    """Of the generator, warm-up included."""

    def note(self, number: int, due: float, now: float, status: int, head: bytes) -> None:
        self.numbers.append(number)
        self.due.append(due)
        self.took.append(now - due)
        self.statuses.append(status)
        if status in (429, 503) and b"\r\nretry-after:" not in head.lower():
            self.unexplained += 1

    @property
    def counts(self) -> Counter[int]:
        """How often each status was answered, warm-up included."""
        return Counter(self.statuses)

    @property
    def accepted(self) -> int:
        """Answers 2xx, warm-up included: what the database must have."""
        return sum(200 <= status < 300 for status in self.statuses)

    @property
    def rate(self) -> float:
        """2xx responses per second within the measured time."""
        found = zip(self.due, self.took, self.statuses, strict=True)
        came = sum(self.began <= due + took < self.ended and 200 <= status < 300 for due, took, status in found)
        return came / (self.ended - self.began)

    def milliseconds(self, percent: float, *, accepted: bool = False) -> float:
        """The percentile of the measured latencies; of the 2xx responses only, if requested."""
        found = zip(self.due, self.took, self.statuses, strict=True)
        took = [took for due, took, status in found if due >= self.began and (not accepted or 200 <= status < 300)]
        return 1000 * percentile(took, percent)

    @property
    def cpu_micros(self) -> float:
        """Microseconds of the generator's CPU for each request."""
        return self.cpu_seconds / len(self.statuses) * 1e6
