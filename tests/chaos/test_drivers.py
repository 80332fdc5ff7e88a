"""The drivers of the load report their positions until they are dismissed."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from gofleet.domain.place import Place
from tests.chaos.client import Client
from tests.chaos.ledger import Ledger
from tests.chaos.load import Drivers, pinging
from tests.waiting import eventually


@dataclass
class Reports:
    """An API that accepts every position; the first one dismisses the second driver."""

    paths: list[str] = field(default_factory=list[str])
    drivers: Drivers | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.drivers and not self.paths:
            self.drivers.dismiss(["bia"])
        self.paths.append(request.url.path)
        return httpx.Response(HTTPStatus.NO_CONTENT)


async def test_a_driver_that_is_dismissed_in_the_middle_of_a_round_silences_no_other(tmp_path: Path) -> None:
    reports = Reports()
    async with httpx.AsyncClient(transport=httpx.MockTransport(reports)) as http:
        drivers = Drivers(_client(http, tmp_path), {id: Place(1, 2) for id in ("ana", "bia", "cai")})
        reports.drivers = drivers
        async with pinging(drivers):
            await eventually(lambda: len(reports.paths) >= 4)

    assert [path.split("/")[4] for path in reports.paths[:4]] == ["ana", "cai", "ana", "cai"]


async def test_an_error_of_the_reports_is_an_error_of_the_trial(tmp_path: Path) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise ValueError("broken")

    async with httpx.AsyncClient(transport=httpx.MockTransport(broken)) as http:
        with pytest.raises(ValueError, match="broken"):
            async with pinging(Drivers(_client(http, tmp_path), {"ana": Place(1, 2)})) as _:
                await eventually(lambda: False, within=0.3)


def _client(http: httpx.AsyncClient, place: Path) -> Client:
    return Client(http, lambda: ["http://api"], Ledger(place / "ledger.jsonl"))
