"""What is committed under proto/ is what the code promises, and `just contracts` breaks no promise by mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.api_contracts import __main__ as command
from tests.api_contracts.documents import Contract, contracts, pretty

CONTRACTS = contracts()
PATHS = [one.path for one in CONTRACTS]


@pytest.mark.parametrize("contract", CONTRACTS, ids=PATHS)
def test_the_committed_contract_is_what_the_code_makes(contract: Contract) -> None:
    changed = "\n".join(command.difference(contract))

    assert contract.new == contract.committed(), f"{changed}\nrun `just contracts`"


def test_a_contract_is_made_the_same_way_every_time() -> None:
    assert [one.new for one in contracts()] == [one.new for one in CONTRACTS]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory with one contract, made of another document than before: an operation is gone."""
    [openapi] = [one for one in CONTRACTS if one.path.endswith("openapi.json")]
    document = json.loads(openapi.new)
    del document["paths"]["/api/v1/orders"]["post"]
    now = Contract("openapi.json", pretty(document), openapi.breaks)
    (tmp_path / "openapi.json").write_bytes(openapi.new)
    monkeypatch.setattr("tests.api_contracts.documents.ROOT", tmp_path)
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "contracts", lambda: [now])
    return tmp_path / "openapi.json"


def test_a_break_is_refused_with_the_difference_and_changes_nothing(
    told: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = told.read_bytes()

    assert command.write() == 1

    said = capsys.readouterr()
    assert "openapi.json: POST /api/v1/orders: is gone" in said.err
    assert '-        "operationId": "createOrder",' in said.out
    assert told.read_bytes() == before


def test_a_break_on_purpose_is_written(told: Path) -> None:
    assert command.write(breaking=True) == 0
    assert "createOrder" not in json.loads(told.read_bytes())["paths"]["/api/v1/orders"]


def test_a_contract_that_is_new_breaks_nobody(told: Path) -> None:
    told.unlink()

    assert command.write() == 0
    assert told.is_file()
