"""Session settings of the pool's connections."""

from __future__ import annotations

from datetime import UTC

import pytest
from psycopg.conninfo import make_conninfo

from gofleet.adapters.postgres.pool import create_pool


@pytest.mark.parametrize("zone", ["UTC", "America/Sao_Paulo", "Asia/Kolkata"])
async def test_reads_times_in_utc_whatever_the_time_zone_of_the_server(clean_database: str, zone: str) -> None:
    conninfo = make_conninfo(clean_database, options=f"-c TimeZone={zone}")
    async with create_pool(conninfo, size=1, wait_seconds=5) as pool, pool.connection() as connection:
        result = await connection.execute("select now(), null::timestamptz, extract(epoch from now())::float8")
        row = await result.fetchone()

    assert row is not None
    now, missing, epoch = row
    assert now.tzinfo is UTC
    assert missing is None
    assert now.timestamp() == pytest.approx(epoch)
