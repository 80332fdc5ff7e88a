"""Whatever schemathesis thinks of, the API answers as its description says, and never with a 5xx."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from gofleet.embedded import Postgres, Valkey
from tests.fuzz.run import an_api, furnish, let_loose

EXAMPLES = 20
SEED = 1


@pytest.mark.timeout(300)
async def test_the_api_does_what_its_description_says(
    postgres_server: Postgres, valkey_server: Valkey, clean_database: str, tmp_path: Path
) -> None:
    database = str(conninfo_to_dict(clean_database)["dbname"])
    await furnish(postgres_server, database)

    with an_api(postgres_server, valkey_server, database, tmp_path) as installation:
        outcome = let_loose(installation.api, tmp_path, examples=EXAMPLES, seed=SEED)
        logged = [event for process in installation.processes for event in process.events()]

    assert outcome.flawless, outcome.said
    assert outcome.cases > 1000
    assert [event for event in logged if event.get("event") == "request failed"] == []
    with psycopg.connect(clean_database) as connection:  # not everything was refused
        row = connection.execute("select count(*) from orders where status = 'CANCELLED'").fetchone()
    assert row is not None
    assert row[0] > 0
