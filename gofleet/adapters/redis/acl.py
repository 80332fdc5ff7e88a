"""The roles' users at Redis, as its ACL file has them: on which keys each may call what, by itself or in our scripts.

Nobody can log in as one of them, nor as its default user, which is for people, until it is given a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

from gofleet.adapters.redis.scripts import escape_glob
from gofleet.adapters.redis.stream_wire import StreamNames
from gofleet.domain.messages import DISPATCH_QUEUE, FLEET_QUEUE, QUEUES, parking_queue

SCRIPTED = ("evalsha", "script|load")
TRANSACTION = ("multi", "exec")
PEOPLE = "user default on ~* &* +@all"
SCRIPTS = {
    "api": ("take_tokens",),
    "worker": ("lease_acquire", "lease_finish", "lease_release", "lease_take_over"),
    "fleet": ("claim_nearest", "free", "holdings", "look", "move", "occupy", "register", "settle"),
    "streams": ("stream_claim", "stream_give_back", "stream_keep", "stream_move_due", "stream_postpone"),
}
"""Role -> the files `lua/<name>.lua` that it sends; `streams` of whoever consumes them."""


@dataclass(frozen=True)
class AclUser:
    """What a user may call, on keys that fit one of the globs."""

    user: str
    keys: tuple[str, ...]
    commands: tuple[str, ...]

    def line(self) -> str:
        words = [f"~{key}" for key in self.keys] + ["resetchannels", "-@all"]
        return " ".join(["user", self.user, "on", *words, *(f"+{name}" for name in sorted(set(self.commands)))])


def acl_users(names: str, keys: str, *, streams: bool) -> list[AclUser]:
    """Of the users, named behind the prefix `names`, on keys behind the prefix `keys`. With `streams` the events travel
    through Redis, too."""
    at = escape_glob(keys)
    worker_keys, worker = (f"{at}lease:*",), ("ping", *SCRIPTED, *_called("worker"))
    fleet_keys = tuple(f"{at}{kind}:*" for kind in ("drivers", "driver", "busy", "claim", "claimed", "freed"))
    fleet = ("ping", "exists", "set", "geosearch", *SCRIPTED, *_called("fleet"))
    found = [AclUser(f"{names}api", (f"{at}bucket:*",), (*SCRIPTED, *_called("api")))]
    if streams:
        publishing = tuple(escape_glob(StreamNames(keys).stream(queue)) for queue in QUEUES)
        found.append(AclUser(f"{names}relay", publishing, ("ping", "xadd", *TRANSACTION)))
        consuming = (*TRANSACTION, "xgroup|create", "xreadgroup", "xack", "xdel", *_called("streams"))
        worker_keys, worker = (*worker_keys, *_consumed(keys, DISPATCH_QUEUE)), (*worker, *consuming)
        fleet_keys, fleet = (*fleet_keys, *_consumed(keys, FLEET_QUEUE)), (*fleet, *consuming)
    return [*found, AclUser(f"{names}worker", worker_keys, worker), AclUser(f"{names}fleet", fleet_keys, fleet)]


def acl_file(names: str, keys: str, *, streams: bool) -> str:
    """An ACL file."""
    return "\n".join([PEOPLE, *(one.line() for one in acl_users(names, keys, streams=streams))]) + "\n"


def _consumed(keys: str, queue: str) -> tuple[str, ...]:
    """The streams of the queue and of what was parked from it, and what waits for its time in each."""
    names = StreamNames(keys)
    found = [name for each in (queue, parking_queue(queue)) for name in (names.stream(each), names.later(each))]
    return (*map(escape_glob, found), escape_glob(names.parking(parking_queue(queue))))


def _called(whose: str) -> tuple[str, ...]:
    """The commands that those scripts call. Redis looks at the rights of who calls the script."""
    folder = files("gofleet.adapters.redis") / "lua"
    return tuple(_commands((folder / f"{name}.lua").read_text(encoding="utf-8") for name in SCRIPTS[whose]))


def _commands(texts: Iterable[str]) -> list[str]:
    calls = re.findall(r"""redis\.p?call\(["'](\w+)["'](?:, *["']([A-Z]+)["'])?""", "".join(texts))
    return [f"{name}|{second}".lower() if name == "XGROUP" else name.lower() for name, second in calls]
