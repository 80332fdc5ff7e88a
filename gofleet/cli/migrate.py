"""`gofleet migrate`: bring the database's schema up to this program's."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter


def migrate(
    *, check: Annotated[bool, Parameter(help="Change nothing; exit 1 if a migration is missing.")] = False
) -> None:
    """Apply the migrations that the database lacks, each in its own transaction. Safe to run twice, also at once."""
    from gofleet import parts
    from gofleet.adapters.postgres.migrate import apply_migrations, missing_migrations
    from gofleet.settings import load, unsafe

    settings = load()
    for wrong in unsafe(settings, roles=()):
        raise wrong
    dsn = parts.conninfo(settings)
    if check:
        lacking = missing_migrations(dsn)
        print("\n".join(f"missing {name}" for name in lacking) or "the schema is up to date")
        sys.exit(1 if lacking else 0)
    count = apply_migrations(
        dsn,
        done=lambda name: print(f"applied {name}"),
        warned=lambda text: print(f"warning: {text}", file=sys.stderr),
    )
    if not count:
        print("the schema is up to date")
