"""The contracts under proto/ are current, and `just contracts` writes no breaking change unasked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.api_contracts import __main__ as command
from tests.api_contracts.documents import Contract, contracts, pretty

CONTRACTS = contracts()
PATHS = [contract.path for contract in CONTRACTS]


@pytest.mark.parametrize("contract", CONTRACTS, ids=PATHS)
def test_the_committed_contract_is_current(contract: Contract) -> None:
    changed = "\n".join(command.difference(contract))

    assert contract.new == contract.committed(), f"{changed}\nrun `just contracts`"


def test_generates_contracts_deterministically() -> None:
    assert [contract.new for contract in contracts()] == [contract.new for contract in CONTRACTS]


@pytest.fixture
def contract_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A contract file whose new version lacks an operation."""
    [openapi] = [contract for contract in CONTRACTS if contract.path.endswith("openapi.json")]
    document = json.loads(openapi.new)
    del document["paths"]["/api/v1/orders"]["post"]
    now = Contract("openapi.json", pretty(document), openapi.breaks)
    (tmp_path / "openapi.json").write_bytes(openapi.new)
    monkeypatch.setattr("tests.api_contracts.documents.ROOT", tmp_path)
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "contracts", lambda: [now])
    return tmp_path / "openapi.json"


def test_refuses_a_breaking_change_with_its_difference_and_writes_nothing(
    contract_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contract_file.read_bytes()

    assert command.write() == 1

    output = capsys.readouterr()
    assert "openapi.json: POST /api/v1/orders: is gone" in output.err
    assert '-        "operationId": "createOrder",' in output.out
    assert contract_file.read_bytes() == before


def test_writes_a_breaking_change_on_request(contract_file: Path) -> None:
    assert command.write(breaking=True) == 0
    assert "createOrder" not in json.loads(contract_file.read_bytes())["paths"]["/api/v1/orders"]


def test_writes_a_new_contract(contract_file: Path) -> None:
    contract_file.unlink()

    assert command.write() == 0
    assert contract_file.is_file()
