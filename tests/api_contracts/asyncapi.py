"""Changes of an AsyncAPI document that break consumers of the old one."""

from __future__ import annotations

from collections.abc import Iterator

from tests.api_contracts.schemas import Comparison, Json, resolved


def asyncapi_breaks(old: Json, new: Json) -> Iterator[str]:
    for kind in ("channels", "operations"):
        for name in sorted(old[kind].keys() - new[kind].keys()):
            yield f"{kind} {name}: is gone"
    for name in sorted(old["channels"].keys() & new["channels"].keys()):
        yield from _channel(old, new, name)
    for name in sorted(old["operations"].keys() & new["operations"].keys()):
        if old["operations"][name]["action"] != new["operations"][name]["action"]:
            yield f"operations {name}: has the opposite direction"


def _channel(old: Json, new: Json, name: str) -> Iterator[str]:
    was, is_now = old["channels"][name], new["channels"][name]
    for keyword in ("address", "bindings"):
        if was[keyword] != is_now[keyword]:
            yield f"channels {name}: {keyword} was {was[keyword]}, is {is_now[keyword]}"
    for message, reference in was["messages"].items():
        if message not in is_now["messages"]:
            yield f"channels {name}: {message} is gone"
        else:
            yield from _message(old, new, resolved(old, reference), resolved(new, is_now["messages"][message]))


def _message(old: Json, new: Json, was: Json, is_now: Json) -> Iterator[str]:
    for keyword in ("name", "contentType"):
        if was[keyword] != is_now[keyword]:
            yield f"{was['name']}: {keyword} was {was[keyword]}, is {is_now[keyword]}"
    for part in ("headers", "payload"):
        yield from Comparison(old, new, sent=True).breaks(was[part], is_now[part], f"{was['name']} {part}")
