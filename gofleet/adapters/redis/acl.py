"""The Redis ACL file of the roles' users: the keys each may access, and the commands it may call itself or in scripts.

The users have no passwords here, nor has the default user, which is for operators: one must be set before a login.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

from gofleet.adapters.redis.names import StreamNames, escape_glob, ready_key
from gofleet.domain.messages import DISPATCH_QUEUE, FLEET_QUEUE, QUEUES, parking_queue
from gofleet.settings import Settings

READINESS = ("ping", "set")
FLEET_KINDS = ("drivers", "driver", "busy", "claim", "claimed", "freed")
SCRIPTED = ("evalsha", "script|load")
TRANSACTION = ("multi", "exec")
DEFAULT_USER = "user default on ~* &* +@all"
SCRIPTS = {
    "api": ("take_tokens",),
    "worker": ("lease_acquire", "lease_finish", "lease_release", "lease_take_over"),
    "fleet": (
        "claim_nearest",
        "free",
        "holdings",
        "look",
        "move",
        "occupy",
        "register",
        "registrations",
        "settle",
        "travel",
        "unregister",
    ),
    "streams": ("stream_claim", "stream_give_back", "stream_keep", "stream_move_due", "stream_postpone"),
}
"""Role -> the scripts `lua/<name>.lua` that it runs; `streams` are those of the consumers of streams."""


@dataclass(frozen=True)
class AclUser:
    """A user, the glob patterns of the keys it may access, and the commands it may call on them."""

    user: str
    keys: tuple[str, ...]
    commands: tuple[str, ...]

    def line(self) -> str:
        words = [f"~{key}" for key in self.keys] + ["resetchannels", "-@all"]
        return " ".join(["user", self.user, "on", *words, *(f"+{name}" for name in sorted(set(self.commands)))])


def acl_users(names: str, keys: str, *, streams: bool) -> list[AclUser]:
    """The users of all roles. `names` and `keys` are the prefixes of user names and keys; with `streams`, Redis is the
    broker too."""
    prefix = escape_glob(keys)
    ready = escape_glob(ready_key(keys))
    worker_keys, worker = (ready, f"{prefix}lease:*"), (*READINESS, *SCRIPTED, *_called("worker"))
    fleet_keys = (ready, *(f"{prefix}{kind}:*" for kind in FLEET_KINDS))
    fleet = (*READINESS, "geosearch", *SCRIPTED, *_called("fleet"))
    users = [AclUser(f"{names}api", (f"{prefix}bucket:*",), ("ping", *SCRIPTED, *_called("api")))]
    if streams:
        publishing = (ready, *(escape_glob(StreamNames(keys).stream(queue)) for queue in QUEUES))
        users.append(AclUser(f"{names}relay", publishing, (*READINESS, "xadd", *TRANSACTION)))
        consuming = (*TRANSACTION, "xgroup|create", "xreadgroup", "xack", "xdel", *_called("streams"))
        worker_keys, worker = (*worker_keys, *_consumed(keys, DISPATCH_QUEUE)), (*worker, *consuming)
        fleet_keys, fleet = (*fleet_keys, *_consumed(keys, FLEET_QUEUE)), (*fleet, *consuming)
    return [*users, AclUser(f"{names}worker", worker_keys, worker), AclUser(f"{names}fleet", fleet_keys, fleet)]


def acl_of(settings: Settings) -> str:
    """The ACL file of an installation."""
    general = settings.general
    return acl_file(general.name_prefix, general.key_prefix, streams=general.broker == "redis")


def acl_file(names: str, keys: str, *, streams: bool) -> str:
    """The text of the ACL file."""
    return "\n".join([DEFAULT_USER, *(user.line() for user in acl_users(names, keys, streams=streams))]) + "\n"


def _consumed(keys: str, queue: str) -> tuple[str, ...]:
    """Patterns of the keys of a queue and its parking queue: streams, retries and parked messages."""
    names = StreamNames(keys)
    keys_of_both = [key for each in (queue, parking_queue(queue)) for key in (names.stream(each), names.later(each))]
    return (*map(escape_glob, keys_of_both), escape_glob(names.parking(parking_queue(queue))))


def _called(group: str) -> tuple[str, ...]:
    """The commands that a group of scripts calls. Redis checks them against the permissions of the calling user."""
    folder = files("gofleet.adapters.redis") / "lua"
    return tuple(_commands((folder / f"{name}.lua").read_text(encoding="utf-8") for name in SCRIPTS[group]))


def _commands(texts: Iterable[str]) -> list[str]:
    calls = re.findall(r"""redis\.p?call\(["'](\w+)["'](?:, *["']([A-Z]+)["'])?""", "".join(texts))
    return [f"{name}|{second}".lower() if name == "XGROUP" else name.lower() for name, second in calls]
