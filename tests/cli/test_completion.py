"""Shell completion, in a real bash."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.program import gofleet

COMPLETED = """
source "$1"
complete -p gofleet > /dev/null
COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2)) COMP_LINE="${*:2}" COMP_POINT=${#COMP_LINE}
_gofleet
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("completion")
    ended = gofleet("completion", "bash", cwd=place)
    assert ended.returncode == 0, ended.stderr
    script = place / "gofleet.bash"
    script.write_text(ended.stdout)
    return script


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (["ord"], {"orders"}),
        (["orders", "can"], {"cancel", "candidates"}),
        (["config", ""], {"show", "check"}),
        (["orders", "list", "--sta"], {"--status"}),
        (["orders", "list", "--status", "man"], {"manual-dispatch"}),
        (["unheard-of", ""], set[str]()),
    ],
)
def test_bash_completes_commands_options_and_values(script: Path, words: list[str], answers: set[str]) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    typed = [bash, "--norc", "-c", COMPLETED, "bash", str(script), "gofleet", *words]

    ended = subprocess.run(typed, capture_output=True, text=True, check=True, timeout=20)

    found = {line.strip() for line in ended.stdout.splitlines() if line.strip()}
    assert answers <= found
    assert ended.stderr == ""
    assert all(answer.startswith(words[-1]) for answer in found)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_prints_scripts_for_other_shells(tmp_path: Path, shell: str) -> None:
    ended = gofleet("completion", shell, cwd=tmp_path)

    assert ended.returncode == 0
    assert "orders" in ended.stdout


def test_installs_the_script(tmp_path: Path) -> None:
    ended = gofleet("completion", "bash", "--install", environment={"HOME": str(tmp_path)}, cwd=tmp_path)

    assert ended.returncode == 0, ended.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("_gofleet" in path.read_text() for path in written)
