"""The clients' requests and responses: the only evidence besides the servers themselves."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass
class Ledger:
    """JSON lines in `path`, one for each act after its last try; the counts are by act and status."""

    path: Path
    counts: Counter[tuple[str, int | None]] = field(default_factory=Counter[tuple[str, int | None]])

    def write(  # one field each, as `gofleet verify` reads them
        self,
        act: str,
        order_id: str,
        *,
        request: dict[str, Any] | None,
        status: int | None,
        response: dict[str, Any] | None,
        tries: int,
    ) -> None:
        self.counts[act, status] += 1
        line = {
            "at": datetime.now(UTC).isoformat(),
            "act": act,
            "order_id": order_id,
            "request": request,
            "status": status,
            "response": response,
            "tries": tries,
        }
        with self.path.open("a") as out:
            out.write(json.dumps(line) + "\n")

    @property
    def created(self) -> int:
        """How many orders the API has accepted."""
        return self.counts["create", 201]
