"""`just contracts`: write the contracts of the current code, unless that breaks the contracts of the last commit."""

from __future__ import annotations

import difflib
import subprocess
import sys
from typing import Annotated

from cyclopts import App, Parameter

from tests.api_contracts.documents import ROOT, Contract, contracts

app = App(name="just contracts", help=__doc__)


@app.default
def write(*, breaking: Annotated[bool, Parameter(negative="", help="Write breaking changes as well.")] = False) -> int:
    """Exits 1 and writes nothing if a change is breaking, unless `--breaking` is given."""
    changed = [contract for contract in contracts() if contract.new != contract.committed()]
    broken = [
        f"{contract.path}: {sentence}"
        for contract in changed
        if (old := last(contract))
        for sentence in contract.breaks(old, contract.new)
    ]
    for contract in changed:
        print(*difference(contract), sep="\n")  # noqa: T201
    if broken and not breaking:
        print("\nnot written, because these changes are breaking:", *broken, sep="\n  ", file=sys.stderr)  # noqa: T201
        print("keep the contract compatible, or run `just contracts --breaking`", file=sys.stderr)  # noqa: T201
        return 1
    for contract in changed:
        (ROOT / contract.path).write_bytes(contract.new)
        print(f"wrote {contract.path}")  # noqa: T201
    return 0


def last(contract: Contract) -> bytes:
    """The contract in the last commit, because uncommitted changes may be changed freely; without git, the file."""
    words = ["git", "show", f"HEAD:./{contract.path}"]
    try:
        return subprocess.run(words, cwd=ROOT, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return contract.committed()


def difference(contract: Contract) -> list[str]:
    """The unified diff; for a binary file only a note."""
    try:
        old, new = contract.committed().decode().splitlines(), contract.new.decode().splitlines()
    except UnicodeDecodeError:
        return [f"{contract.path} differs"]
    return list(difflib.unified_diff(old, new, contract.path, f"{contract.path} (now)", lineterm=""))


if __name__ == "__main__":
    sys.exit(app())
