"""A program that keeps servers running until it is stopped, for tests that kill it.

`python -m tests.embedded.program DIRECTORY NAME...` prints a line of JSON once all answer.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from gofleet.embedded import Postgres, RabbitMQ, Server, Valkey, all_running

KINDS: dict[str, type[Postgres] | type[Valkey] | type[RabbitMQ]] = {
    "postgres": Postgres,
    "valkey": Valkey,
    "rabbitmq": RabbitMQ,
}


async def keep(directory: str, *names: str) -> None:
    """Run the named servers below `directory`, or in temporary directories if it is empty."""
    servers: list[Server[Any]] = [KINDS[name](Path(directory) / name if directory else None) for name in names]
    async with all_running(*servers):
        pids = {name: server.pids for name, server in zip(names, servers, strict=True)}
        sys.stdout.write(json.dumps({"uid": os.geteuid(), "pids": pids}) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(keep(*sys.argv[1:]))
