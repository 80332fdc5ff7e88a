"""A client that a generator makes of our description is typed, and works."""

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
    """What it printed; AssertionError with all of that if it failed."""
    ended = subprocess.run([sys.executable, *words], cwd=at, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the description, the client made of it, and the program that uses it."""
    place = tmp_path_factory.mktemp("workshop")
    (place / "openapi.json").write_bytes(pretty(openapi_document()))
    (place / "config.yaml").write_text("post_hooks: []\n")  # it would tidy up with whatever ruff it finds
    words = ("generate", "--path", "openapi.json", "--output-path", "gofleet_client", "--meta", "none")
    said = run("-m", "openapi_python_client", *words, "--config", "config.yaml", at=place)
    assert "Warning" not in said, said
    shutil.copy(PROGRAM, place / "program.py")
    return place


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

    said = run("-m", "basedpyright", "--pythonpath", sys.executable, "--outputjson", at=workshop)

    summary = json.loads(said)["summary"]
    assert summary["errorCount"] == 0, said
    assert summary["filesAnalyzed"] > 50


def test_the_generated_client_creates_lists_and_cancels_orders(workshop: Path, installation: Installation) -> None:
    assert json.loads(run("program.py", "orders", installation.api, at=workshop)) == ["mine-0", "mine-1", "mine-2"]


if STREAM in openapi_document()["paths"]:

    def test_the_generated_clients_connection_follows_an_order(workshop: Path, installation: Installation) -> None:
        assert json.loads(run("program.py", "follow", installation.api, at=workshop)) == ["orders.created"]
