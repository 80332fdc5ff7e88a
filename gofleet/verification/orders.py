"""Orders and their history, by PostgreSQL alone: I2 explainable, I3 legal, I4 once, I5 one driver, I16 money.

I5 compares the ids of the history, not its times: a transaction that waits for another one began before it ended, so
times may overlap where the drivers do not. See `shared_drivers` in sql/queries/verify.sql.
"""

from __future__ import annotations

from gofleet.adapters.postgres.snapshot import VERIFY
from gofleet.domain.order import TRANSITIONS, Status
from gofleet.verification.checks import no_rows
from gofleet.verification.sources import Sources


def _longest_wait(sources: Sources) -> dict[str, object]:
    settings = sources.settings
    # The sweeper looks every so often, and one look may just have missed it.
    return {"seconds": settings.worker.t_max_seconds + 2 * settings.relay.sweep_seconds}


def _legal(_: Sources) -> dict[str, object]:
    moves = [(was.value, became.value) for was, targets in TRANSITIONS.items() for became in targets]
    was, became = zip(*moves, strict=True)
    return {"was": [None, *was], "became": [Status.PENDING.value, *became]}


CHECKS = (
    no_rows("I2", VERIFY.waiting, at_rest=True),
    no_rows("I2", VERIFY.overdue, _longest_wait),
    no_rows("I2", VERIFY.unexplained),
    no_rows("I3", VERIFY.illegal_moves, _legal),
    no_rows("I3", VERIFY.broken_histories),
    no_rows("I3", VERIFY.other_ends),
    no_rows("I4", VERIFY.dispatched_again),
    no_rows("I4", VERIFY.drivers_changed),
    no_rows("I5", VERIFY.shared_drivers),
    no_rows("I16", VERIFY.wrong_money),
    no_rows("I16", VERIFY.other_money),
)
