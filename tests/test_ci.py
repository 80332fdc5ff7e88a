"""What GitHub runs is what `.ci/run` and the justfile say, by actions that cannot change under it, with few rights."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".github/workflows/ci.yml"
TEXT = PLACE.read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
COMMANDS = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in JOBS.items()}
SAID = [command for commands in COMMANDS.values() for command in commands]
UV = 'python -m pip install "uv==$UV_VERSION"'
each_job = pytest.mark.parametrize("name", JOBS)


def recipes(commands: list[str]) -> list[str]:
    """What `just` is asked for."""
    return [found for command in commands for found in re.findall(r"^uv run just ([\w-]+)", command, re.M)]


def recipe(name: str) -> str:
    """The recipe as `just` understands it; fails if there is none."""
    return subprocess.run(["just", "--show", name], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_every_recipe_that_is_called_exists() -> None:
    assert sorted(recipes(SAID)) == ["audit", "contracts", "image", "lint", "sbom", "test"]
    assert all(recipe(name) for name in recipes(SAID))


def test_whatever_a_clean_clone_must_pass_github_asks_for() -> None:
    local = recipes((ROOT / ".ci/run").read_text(encoding="utf-8").splitlines())

    assert local == ["lint", "test"]
    assert set(local) <= set(recipes(SAID))


def test_nothing_is_done_beside_the_recipes_but_what_needs_docker_or_git() -> None:
    others = {shlex.split(command)[0] for command in SAID if not recipes([command]) and command != UV}

    assert others == {"docker", "git"}
    assert not [command for command in SAID if "\n" in command]  # a script would belong into the justfile


def test_who_uses_uv_has_installed_it() -> None:
    for commands in COMMANDS.values():
        using = [at for at, command in enumerate(commands) if command.startswith("uv ")]
        assert not using or commands.index(UV) < using[0]


def test_uv_is_the_one_of_the_image() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")

    assert re.findall(r"ARG UV_VERSION=(\S+)", dockerfile) == [WORKFLOW["env"]["UV_VERSION"]]
    assert WORKFLOW["env"]["UV_PYTHON_DOWNLOADS"] == "never"


def test_the_tests_run_on_the_oldest_python_and_on_that_of_the_image() -> None:
    [oldest] = re.findall(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [image] = re.findall(r"ARG PYTHON_IMAGE=python:([\d.]+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))

    assert JOBS["test"]["strategy"]["matrix"]["python"] == [oldest, image]
    assert JOBS["test"]["env"]["UV_PYTHON"] == "${{ matrix.python }}"


def test_the_tests_bring_helm_and_k6_and_the_peer_of_the_bench_and_a_provider() -> None:
    assert "--group chart --group load --group bench --group oidc pytest" in recipe("test")


def test_contracts_written_anew_are_those_that_are_committed() -> None:
    assert COMMANDS["contracts"][-2:] == ["uv run just contracts", "git diff --exit-code"]


def test_the_image_is_built_and_its_program_starts() -> None:
    *_, build, start = COMMANDS["image"]

    assert build == "uv run just image"
    assert shlex.split(start)[-3:] == ["gofleet:dev", "config", "check"]


def test_what_is_written_down_of_the_parts_is_what_the_image_holds_and_is_kept() -> None:
    left_out = re.findall(r"--no-install-package \S+", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    kept = JOBS["sbom"]["steps"][-1]["with"]["path"]
    [look] = re.findall(r"\$\((.+)\)", recipe("sbom"))
    found = subprocess.run(["bash", "-c", look], cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert found.splitlines() == sorted(set(left_out)) != []
    assert f"--output-file {kept}" in recipe("sbom")


def test_what_cannot_be_audited_fails_the_audit() -> None:
    assert {"--strict", "--require-hashes"} <= set(recipe("audit").split())


def test_every_action_is_one_commit_with_its_version_beside_it() -> None:
    used = re.findall(r"uses: (.+)", TEXT)

    assert len(used) >= 3
    assert [line for line in used if not re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_one_action_is_used_in_one_version() -> None:
    used = set(re.findall(r"uses: (\S+)@(\S+)", TEXT))

    assert len({name for name, _ in used}) == len(used)


def test_a_run_may_read_and_no_more() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not [name for name, job in JOBS.items() if "permissions" in job]
    checkouts = [step for job in JOBS.values() for step in job["steps"] if "actions/checkout" in step.get("uses", "")]
    assert len(checkouts) == len(JOBS)
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)


def test_nobody_from_outside_puts_words_into_a_command() -> None:
    assert set(WORKFLOW[True]) == {"push", "pull_request"}  # YAML reads `on` as true; never pull_request_target
    assert [command for command in SAID if "${{" in command] == []


@each_job
def test_a_job_ends_and_runs_on_a_machine_that_stays_the_same(name: str) -> None:
    assert JOBS[name]["timeout-minutes"] <= 60
    assert re.fullmatch(r"ubuntu-\d\d\.\d\d", JOBS[name]["runs-on"])


def test_a_newer_push_replaces_the_run_of_an_older_one() -> None:
    assert WORKFLOW["concurrency"]["group"] == "${{ github.workflow }}-${{ github.ref }}"
    assert WORKFLOW["concurrency"]["cancel-in-progress"]
