"""The API's responses to generated requests agree with its description and are never a 5xx."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from gofleet.embedded import Postgres, Valkey
from tests.fuzz.run import an_api, furnish, fuzz

EXAMPLES = 20
SEED = 1


@pytest.mark.timeout(300)
async def test_responses_agree_with_the_description(
    postgres_server: Postgres, valkey_server: Valkey, clean_database: str, tmp_path: Path
) -> None:
    database = str(conninfo_to_dict(clean_database)["dbname"])
    await furnish(postgres_server, database)

    with an_api(postgres_server, valkey_server, database, tmp_path) as installation:
        outcome = fuzz(installation.api, tmp_path, examples=EXAMPLES, seed=SEED)
        logged = [event for process in installation.processes for event in process.events()]

    assert outcome.flawless, outcome.output
    assert outcome.cases > 1000
    assert [event for event in logged if event.get("event") == "request failed"] == []
    with psycopg.connect(clean_database) as connection:  # some requests were accepted
        row = connection.execute("select count(*) from orders where status = 'CANCELLED'").fetchone()
    assert row is not None
    assert row[0] > 0
