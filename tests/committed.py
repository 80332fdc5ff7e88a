"""The committed contracts. `tests/api_contracts` holds them against the code, so that other tests can read them from
disk, which is faster than building the application.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PROTO = Path(__file__).resolve().parent.parent / "proto"


def committed_openapi() -> dict[str, Any]:
    return json.loads((PROTO / "openapi.json").read_bytes())


def committed_asyncapi() -> dict[str, Any]:
    return json.loads((PROTO / "asyncapi.json").read_bytes())
