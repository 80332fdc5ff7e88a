"""`gofleet health`: ask a running role how it is; for container health checks."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from gofleet.cli.errors import harmless


def health(
    *, url: Annotated[str | None, Parameter(help="Base address; by default this machine's METRICS_PORT.")] = None
) -> None:
    """Exit 0 if the role answers that it is ready, else 1 with the reason."""
    import httpx

    from gofleet.settings import load

    base = url or f"http://127.0.0.1:{load().telemetry.metrics_port}"
    try:
        answer = httpx.get(f"{base}/health/ready", timeout=3, trust_env=False)
    except httpx.HTTPError as error:
        print(f"no answer from {base}: {error}", file=sys.stderr)
        sys.exit(1)
    print(harmless(answer.text))
    sys.exit(0 if answer.is_success else 1)
