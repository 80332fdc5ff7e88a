"""`gofleet completion`: commands, options and their values at a press of Tab."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

Shell = Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Whose language.")]


def completion(
    shell: Shell = "bash",
    /,
    *,
    install: Annotated[bool, Parameter(help="Write it where new shells find it.", negative="")] = False,
) -> None:
    """Print a script that teaches a shell to complete gofleet: `source <(gofleet completion bash)`."""
    from gofleet.cli import app

    if install:
        print(f"written to {app.install_completion(shell=shell)}; new shells know it")
    else:
        print(app.generate_completion(shell=shell))
