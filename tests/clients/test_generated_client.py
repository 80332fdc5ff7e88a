"""A client generated from the OpenAPI document is typed and works."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from gofleet.adapters.http.app import openapi_document
from gofleet.embedded import Postgres, Valkey
from tests.api_contracts.documents import pretty
from tests.fuzz.run import an_api
from tests.journeys.installation import Installation

PROGRAM = Path(__file__).with_name("program.py.txt")
STREAM = "/api/v1/orders/stream"


def run(*words: str, at: Path) -> str:
    """The output of the program; AssertionError with its output if it failed."""
    completed = subprocess.run(
        [sys.executable, *words], cwd=at, capture_output=True, text=True, check=False, timeout=100
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the OpenAPI document, the client generated from it, and the program that uses it."""
    directory = tmp_path_factory.mktemp("workshop")
    (directory / "openapi.json").write_bytes(pretty(openapi_document()))
    (directory / "config.yaml").write_text("post_hooks: []\n")  # no formatting with the installed ruff
    words = ("generate", "--path", "openapi.json", "--output-path", "gofleet_client", "--meta", "none")
    output = run("-m", "openapi_python_client", *words, "--config", "config.yaml", at=directory)
    assert "Warning" not in output, output
    shutil.copy(PROGRAM, directory / "program.py")
    return directory


@pytest.fixture
def installation(
    postgres_server: Postgres, valkey_server: Valkey, clean_database: str, tmp_path: Path
) -> Generator[Installation]:
    database = str(conninfo_to_dict(clean_database)["dbname"])
    with an_api(postgres_server, valkey_server, database, tmp_path) as installation:
        yield installation


def test_the_generated_client_is_typed(workshop: Path) -> None:
    settings = {"include": ["program.py", "gofleet_client"], "typeCheckingMode": "standard", "pythonVersion": "3.11"}
    (workshop / "pyrightconfig.json").write_text(json.dumps(settings))

    output = run("-m", "basedpyright", "--pythonpath", sys.executable, "--outputjson", at=workshop)

    summary = json.loads(output)["summary"]
    assert summary["errorCount"] == 0, output
    assert summary["filesAnalyzed"] > 50


def test_the_generated_client_creates_lists_and_cancels_orders(workshop: Path, installation: Installation) -> None:
    assert json.loads(run("program.py", "orders", installation.api, at=workshop)) == ["mine-0", "mine-1", "mine-2"]


if STREAM in openapi_document()["paths"]:

    def test_the_generated_client_follows_an_order(workshop: Path, installation: Installation) -> None:
        assert json.loads(run("program.py", "follow", installation.api, at=workshop)) == ["orders.created"]
