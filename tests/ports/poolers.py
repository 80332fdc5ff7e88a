"""Debian's PgBouncer before a PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gofleet.embedded.resources import HOST, free_ports, is_free
from gofleet.files import write_private
from tests.waiting import eventually


@asynccontextmanager
async def a_pooler(conninfo: str, mode: str, *, ignores_options: bool) -> AsyncGenerator[str]:
    """A connection string through a PgBouncer that pools by `mode`: transaction or session."""
    binary = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert binary, "pgbouncer is missing: run `bash tests/install_servers.sh`, or `just servers`"
    target = conninfo_to_dict(conninfo)
    with tempfile.TemporaryDirectory(prefix="gofleet-pgbouncer-") as name:
        [port], directory = free_ports(1), Path(name)
        directory.chmod(0o755)
        users, config = directory / "users", directory / "pgbouncer.ini"
        write_private(users, f'"{target["user"]}" "{target["password"]}"\n'.encode())
        lines = [
            "[databases]",
            f"* = host={target['host']} port={target['port']}",
            "[pgbouncer]",
            "listen_addr = 127.0.0.1",
            f"listen_port = {port}",
            "unix_socket_dir =",
            "auth_type = scram-sha-256",
            f"auth_file = {users}",
            f"pool_mode = {mode}",
            *(["ignore_startup_parameters = options"] if ignores_options else []),
        ]
        config.write_text("\n".join(lines) + "\n")
        as_user = ["-u", "nobody"] if os.geteuid() == 0 else []  # it does not run as root
        if as_user:
            shutil.chown(users, "nobody")
        with (directory / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(binary, *as_user, config, stdout=log, stderr=log)
        try:
            await eventually(lambda: not is_free(port))
            yield make_conninfo(conninfo, host=HOST, port=port)
        finally:
            process.kill()
            await process.wait()
