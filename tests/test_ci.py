"""The workflow runs the recipes of the justfile that `.ci/run` runs, with pinned actions and minimal permissions."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import SYSTEM

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / ".github/workflows/ci.yml"
TEXT = FILE.read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
COMMANDS = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in JOBS.items()}
ALL_COMMANDS = [command for commands in COMMANDS.values() for command in commands]
UV = 'python -m pip install "uv==$UV_VERSION"'
GROUPS = "--group chart --group load --group bench --group oidc"
each_job = pytest.mark.parametrize("name", JOBS)


def recipes(commands: list[str]) -> list[str]:
    """The names of the recipes that the commands run."""
    return [name for command in commands for name in re.findall(r"^uv run just ([\w-]+)", command, re.M)]


def recipe(name: str) -> str:
    """The recipe as `just` parses it; an unknown name fails."""
    return subprocess.run(["just", "--show", name], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_recipes_exist() -> None:
    assert sorted(recipes(ALL_COMMANDS)) == ["audit", "contracts", "image", "lint", "sbom", "test", "test-system"]
    assert all(recipe(name) for name in recipes(ALL_COMMANDS))


def test_workflow_runs_the_recipes_of_the_local_run() -> None:
    local = recipes((ROOT / ".ci/run").read_text(encoding="utf-8").splitlines())

    assert local == ["lint", "test", "test-system"]
    assert set(local) <= set(recipes(ALL_COMMANDS))


def test_commands_are_recipes_except_docker_and_git() -> None:
    others = {shlex.split(command)[0] for command in ALL_COMMANDS if not recipes([command]) and command != UV}

    assert others == {"docker", "git"}
    assert not [command for command in ALL_COMMANDS if "\n" in command]  # scripts belong in the justfile


def test_uv_is_installed_before_its_use() -> None:
    for commands in COMMANDS.values():
        uses = [index for index, command in enumerate(commands) if command.startswith("uv ")]
        assert not uses or commands.index(UV) < uses[0]


def test_uv_version_equals_that_of_the_image() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")

    assert re.findall(r"ARG UV_VERSION=(\S+)", dockerfile) == [WORKFLOW["env"]["UV_VERSION"]]
    assert WORKFLOW["env"]["UV_PYTHON_DOWNLOADS"] == "never"


@pytest.mark.parametrize("job", ["test", "test-system"])
def test_tests_run_on_the_oldest_python_and_that_of_the_image(job: str) -> None:
    [oldest] = re.findall(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [image] = re.findall(r"ARG PYTHON_IMAGE=python:([\d.]+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))

    assert JOBS[job]["strategy"]["matrix"]["python"] == [oldest, image]
    assert JOBS[job]["env"]["UV_PYTHON"] == "${{ matrix.python }}"
    assert [step["with"] for step in JOBS[job]["steps"] if "setup-python" in step.get("uses", "")] == [
        {"python-version": "${{ matrix.python }}"}
    ]


def test_only_system_tests_install_the_large_groups() -> None:
    assert f"uv sync --quiet --inexact {GROUPS}\n" in recipe("test-system")
    assert "--group" not in recipe("test")


def test_every_test_runs_in_exactly_one_part() -> None:
    parts = re.findall(r'pytest -m "([^"]+)"', recipe("test") + recipe("test-system"))

    assert parts == ["not system", "system and not alone", "system and alone"]
    assert "(test args) (test-system args)" in recipe("test-all")


@pytest.mark.parametrize(
    ("parallel", "alone", "code"),
    [(0, 0, 0), (5, 0, 0), (0, 5, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1), (5, 1, 1), (2, 5, 1)],
)
def test_both_parts_of_the_system_tests_run_and_either_fails_the_recipe(
    tmp_path: Path, parallel: int, alone: int, code: int
) -> None:
    log, uv = tmp_path / "log", tmp_path / "uv"
    uv.write_text(
        f"""#!/bin/sh
        echo "$*" >> {log}
        case "$*" in *"not alone"*) exit {parallel};; *"and alone"*) exit {alone};; esac
        """,
        encoding="utf-8",
    )
    uv.chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    ended = subprocess.run(["just", "--no-deps", "test-system"], cwd=ROOT, env=os.environ | path, check=False)

    assert ended.returncode == code
    ran = re.findall(r"pytest -m (system and.* alone)", log.read_text(encoding="utf-8"))
    assert ran == ["system and not alone", "system and alone"]


def test_durations_are_printed_and_kept() -> None:
    [test] = [step["run"] for step in JOBS["test"]["steps"] if "just test" in step.get("run", "")]
    [kept] = [step for step in JOBS["test"]["steps"] if "upload-artifact" in step.get("uses", "")]

    assert (recipe("test") + recipe("test-system")).count("--durations 50") == 3
    assert test.endswith(f"--junitxml {kept['with']['path']}")
    assert kept["if"] == "always()"


def test_generated_contracts_equal_the_committed_ones() -> None:
    assert COMMANDS["contracts"][-2:] == ["uv run just contracts", "git diff --exit-code"]


def test_image_is_built_and_its_program_starts() -> None:
    *_, build, start = COMMANDS["image"]

    assert build == "uv run just image"
    assert shlex.split(start)[-3:] == ["gofleet:dev", "config", "check"]


def test_bill_of_materials_covers_the_image_and_is_kept() -> None:
    left_out = re.findall(r"--no-install-package \S+", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    kept = JOBS["sbom"]["steps"][-1]["with"]["path"]
    [listing] = re.findall(r"\$\((.+)\)", recipe("sbom"))
    listed = subprocess.run(["bash", "-c", listing], cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert listed.splitlines() == sorted(set(left_out)) != []
    assert f"--output-file {kept}" in recipe("sbom")


def test_audit_fails_for_what_it_cannot_check() -> None:
    assert {"--strict", "--require-hashes"} <= set(recipe("audit").split())


def test_actions_are_pinned_to_a_commit_with_its_version_in_a_comment() -> None:
    used = re.findall(r"uses: (.+)", TEXT)

    assert len(used) >= 3
    assert [line for line in used if not re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_each_action_has_one_version() -> None:
    used = set(re.findall(r"uses: (\S+)@(\S+)", TEXT))

    assert len({name for name, _ in used}) == len(used)


def test_permissions_are_read_only() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not [name for name, job in JOBS.items() if "permissions" in job]
    checkouts = [step for job in JOBS.values() for step in job["steps"] if "actions/checkout" in step.get("uses", "")]
    assert len(checkouts) == len(JOBS)
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)


def test_no_event_text_reaches_a_command() -> None:
    assert set(WORKFLOW[True]) == {"push", "pull_request"}  # YAML reads `on` as true; never pull_request_target
    assert [command for command in ALL_COMMANDS if "${{" in command] == []


@each_job
def test_jobs_have_a_timeout_and_a_fixed_runner(name: str) -> None:
    assert JOBS[name]["timeout-minutes"] <= 60
    assert re.fullmatch(r"ubuntu-\d\d\.\d\d", JOBS[name]["runs-on"])


def test_a_newer_push_cancels_the_run_of_an_older_one() -> None:
    assert WORKFLOW["concurrency"]["group"] == "${{ github.workflow }}-${{ github.ref }}"
    assert WORKFLOW["concurrency"]["cancel-in-progress"]


def test_system_tests_are_where_the_marker_looks_for_them() -> None:
    assert [place for place in SYSTEM if not (ROOT / "tests" / place).exists()] == []
