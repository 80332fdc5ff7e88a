"""The access token that commands send: `--token` or GOFLEET_TOKEN, else the one that `gofleet login` has kept."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from gofleet.cli.errors import WRONG_CALL, CommandFailed, Failure

VARIABLE, OPTION = "GOFLEET_TOKEN", "--token"
EARLY_SECONDS = 5.0
"""A token that is over so soon is over."""


def given(words: Sequence[str]) -> list[str]:
    """The words of a command without `--token TOKEN`, which goes to the environment: all commands take it alike."""
    left: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == OPTION:
            if (token := next(rest, None)) is None:
                raise CommandFailed(
                    Failure("--token has no value", "it is the last word", "say --token TOKEN", WRONG_CALL)
                )
            os.environ[VARIABLE] = token
        elif word.startswith(f"{OPTION}="):
            os.environ[VARIABLE] = word.partition("=")[2]
        else:
            left.append(word)
    return left


def token_for(url: str) -> str | None:
    """What to send to the API at `url`; None = nobody has said who they are."""
    if (said := os.environ.get(VARIABLE)) is not None:
        return said or None
    kept = _kept().get(_place(url))
    return kept["token"] if kept and float(kept["until"]) - EARLY_SECONDS > time.time() else None


def headers_for(url: str) -> dict[str, str]:
    token = token_for(url)
    return {"Authorization": f"Bearer {token}"} if token else {}


def keep(url: str, token: str, seconds: float) -> Path:
    """Remember it for as long as it holds, in a file that only its owner can read; where that is."""
    import msgspec

    now, file = time.time(), _file()
    kept = {place: one for place, one in _kept().items() if float(one["until"]) > now}
    kept[_place(url)] = {"token": token, "until": str(now + seconds)}
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(msgspec.json.encode(kept))
    fresh.replace(file)
    return file


def forget(url: str) -> bool:
    """Whether there was one."""
    import msgspec

    kept = _kept()
    if kept.pop(_place(url), None) is None:
        return False
    _file().write_bytes(msgspec.json.encode(kept))
    return True


def _place(url: str) -> str:
    return url.rstrip("/")


def _file() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "gofleet" / "tokens.json"


def _kept() -> dict[str, dict[str, str]]:
    """By the API's URL; nothing if there is no such file, or nobody can read it as one."""
    import msgspec

    try:
        found = msgspec.json.decode(_file().read_bytes(), type=dict[str, dict[str, str]])
        return {place: one for place, one in found.items() if "token" in one and float(one["until"]) > 0}
    except (OSError, msgspec.MsgspecError, KeyError, ValueError):
        return {}
