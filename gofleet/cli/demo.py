"""`gofleet demo`: the whole system on this machine, with a small city to keep it busy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

CALM_PER_MINUTE, BRISK_PER_MINUTE = 120.0, 1200.0
MANY = Number(gt=0)


def demo(
    *,
    orders: Annotated[int | None, Parameter(help="How many orders to create; endless without.", validator=MANY)] = None,
    exit: Annotated[bool, Parameter(help="Stop when all of them have ended; exit 0 only if all ended well.")] = False,
    drivers: Annotated[int, Parameter(help="How many drivers there are.", validator=MANY)] = 50,
    per_minute: Annotated[
        float | None, Parameter(help="Orders a minute; 120, or 1200 with --orders.", validator=MANY)
    ] = None,
    seed: Annotated[int, Parameter(help="The city's seed: same seed, same city.")] = 1,
    data: Annotated[Path | None, Parameter(help="Keep the servers' data here; thrown away without.")] = None,
    broker: Annotated[
        Literal["redis", "rabbitmq"] | None,
        Parameter(help="Redis streams (default), or RabbitMQ: Debian's package, as a private server."),
    ] = None,
    json: Annotated[bool, Parameter(help="One JSON object a line; the last one is the summary.")] = False,
) -> int:
    """Start PostgreSQL, Valkey and every role, and watch orders find their drivers. Ctrl-C ends it and cleans up.

    Settings that you give (DB_HOST, REDIS_HOST, RABBITMQ_HOST, ...) win over the servers it would start.
    """
    from gofleet.cli.demonstration import Wishes, demonstrate

    if exit and orders is None:
        orders = 200
    pace = per_minute or (BRISK_PER_MINUTE if orders else CALM_PER_MINUTE)
    wishes = Wishes(orders, exit, drivers, pace, seed)
    return demonstrate(wishes, data=data, broker=broker, json=json)
