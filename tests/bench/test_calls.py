"""What calls count, by a service that does nothing."""

from __future__ import annotations

import pytest

from tests.bench.calls import Calls, an_empty_service
from tests.bench.load import in_own_process


@pytest.mark.timeout(60)
async def test_every_call_counts_once_however_many_are_made_at_once() -> None:
    async with an_empty_service() as service:
        answered = await in_own_process(Calls("search", service.port, seconds=0.3, at_once=8))

    assert answered.things == len(answered.took) >= 8
    assert answered.rate == pytest.approx(answered.things / answered.seconds)
