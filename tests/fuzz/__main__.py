"""`just schemathesis`: thousands of valid and invalid requests against a private real installation."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from cyclopts import App, Parameter

from gofleet.adapters.postgres.migrate import apply_migrations
from gofleet.embedded import Postgres, Valkey, running
from tests.databases import conninfo_of
from tests.fuzz.run import an_api, furnish, fuzz

app = App(name="just schemathesis", help=__doc__)
Examples = Annotated[int, Parameter(help="Ideas for each operation and phase; 150 make more than 3,000 cases.")]
Seed = Annotated[int, Parameter(help="The same seed has the same ideas.")]


@app.default
def schemathesis(*, examples: Examples = 150, seed: Seed = 1) -> int:
    """Exit with 1 if a response violates the API's description."""
    postgres, valkey = Postgres(durable=False), Valkey(durable=False)
    with TemporaryDirectory() as directory, running(postgres, valkey):
        place, database = Path(directory), postgres.address.database
        apply_migrations(conninfo_of(postgres, database))
        asyncio.run(furnish(postgres, database))
        with an_api(postgres, valkey, database, place) as installation:
            outcome = fuzz(installation.api, place, examples=examples, seed=seed)
            codes = installation.stop()
    print(outcome.output)  # noqa: T201
    print(f"{outcome.cases} cases in {outcome.seconds:.0f} s, seed {seed}")  # noqa: T201
    return 0 if outcome.flawless and set(codes.values()) == {0} else 1


if __name__ == "__main__":
    sys.exit(app())
