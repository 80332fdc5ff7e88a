"""An installation without violations."""

from __future__ import annotations

from gofleet.verification import InvariantState
from tests.verification.world import VerifiedInstallation


async def test_every_invariant_holds(world: VerifiedInstallation) -> None:
    report = await world.verify()

    assert [each for each in report.results if each.total or each.unreadable] == []
    assert {each.verdict for each in report.results} == {InvariantState.HOLDS}
    assert [each.id for each in report.results] == [f"I{number}" for number in range(1, 20)]
    assert report.exit_code == 0


async def test_invariants_without_their_input_are_not_checked(world: VerifiedInstallation) -> None:
    report = await world.verify(ledger=False, tap=False)

    unchecked = {each.id for each in report.results if each.verdict is InvariantState.NOT_CHECKED}
    assert unchecked == {"I1", "I8", "I9", "I10", "I11", "I15"}
    assert report.exit_code == 0
