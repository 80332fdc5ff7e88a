"""`just contracts`: write down what the code promises today, unless that would break a promise of the last commit."""

from __future__ import annotations

import difflib
import subprocess
import sys
from typing import Annotated

from cyclopts import App, Parameter

from tests.api_contracts.documents import ROOT, Contract, contracts

app = App(name="just contracts", help=__doc__)


@app.default
def write(
    *, breaking: Annotated[bool, Parameter(negative="", help="Break promises: on purpose, then.")] = False
) -> int:
    """Exits 1, changing nothing, if a change would break somebody; `--breaking` writes it all the same."""
    changed = [one for one in contracts() if one.new != one.committed()]
    broken = [
        f"{one.path}: {sentence}" for one in changed if (old := last(one)) for sentence in one.breaks(old, one.new)
    ]
    for one in changed:
        print(*difference(one), sep="\n")  # noqa: T201
    if broken and not breaking:
        print("\nrefused, for it breaks who relies on it:", *broken, sep="\n  ", file=sys.stderr)  # noqa: T201
        print("keep it compatible, or say `just contracts --breaking`", file=sys.stderr)  # noqa: T201
        return 1
    for one in changed:
        (ROOT / one.path).write_bytes(one.new)
        print(f"wrote {one.path}")  # noqa: T201
    return 0


def last(contract: Contract) -> bytes:
    """As it was committed last: what nobody has seen yet may change at will. Without git as it is here."""
    words = ["git", "show", f"HEAD:./{contract.path}"]
    try:
        return subprocess.run(words, cwd=ROOT, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return contract.committed()


def difference(contract: Contract) -> list[str]:
    """Unified, as text; of a binary file only that there is one."""
    try:
        old, new = contract.committed().decode().splitlines(), contract.new.decode().splitlines()
    except UnicodeDecodeError:
        return [f"{contract.path} differs"]
    return list(difflib.unified_diff(old, new, contract.path, f"{contract.path} (now)", lineterm=""))


if __name__ == "__main__":
    sys.exit(app())
