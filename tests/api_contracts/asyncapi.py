"""What of a new AsyncAPI document breaks those who receive the events of the old one."""

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
            yield f"operations {name}: goes the other way"


def _channel(old: Json, new: Json, name: str) -> Iterator[str]:
    was, is_now = old["channels"][name], new["channels"][name]
    for word in ("address", "bindings"):
        if was[word] != is_now[word]:
            yield f"channels {name}: {word} was {was[word]}, is {is_now[word]}"
    for message, reference in was["messages"].items():
        if message not in is_now["messages"]:
            yield f"channels {name}: {message} is gone"
        else:
            yield from _message(old, new, resolved(old, reference), resolved(new, is_now["messages"][message]))


def _message(old: Json, new: Json, was: Json, is_now: Json) -> Iterator[str]:
    for word in ("name", "contentType"):
        if was[word] != is_now[word]:
            yield f"{was['name']}: {word} was {was[word]}, is {is_now[word]}"
    for part in ("headers", "payload"):
        yield from Comparison(old, new, told=True).breaks(was[part], is_now[part], f"{was['name']} {part}")
