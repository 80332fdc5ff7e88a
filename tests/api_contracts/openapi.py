"""Changes of an OpenAPI document that break clients of the old one."""

from __future__ import annotations

from collections.abc import Iterator

from tests.api_contracts.schemas import Comparison, Json, resolved


def openapi_breaks(old: Json, new: Json) -> Iterator[str]:
    for path, operations in old["paths"].items():
        for method, operation in operations.items():
            at = f"{method.upper()} {path}"
            now: Json | None = new["paths"].get(path, {}).get(method)
            if now is None:
                yield f"{at}: is gone"
                continue
            if operation["operationId"] != now["operationId"]:
                yield f"{at}: operationId was {operation['operationId']}, is {now['operationId']}"
            yield from _parameters(old, new, operation, now, at)
            yield from _body(old, new, operation, now, at)
            yield from _responses(old, new, operation, now, at)


def _parameters(old: Json, new: Json, before: Json, now: Json, at: str) -> Iterator[str]:
    requests = Comparison(old, new, sent=False)
    were, are = _named(before), _named(now)
    for name in sorted(were.keys() - are.keys()):
        yield f"{at}: parameter {name} is gone"
    for name, parameter in are.items():
        if parameter.get("required") and not were.get(name, {}).get("required"):
            yield f"{at}: parameter {name} is required"
        if name in were:
            yield from requests.breaks(were[name]["schema"], parameter["schema"], f"{at}: parameter {name}")


def _named(operation: Json) -> dict[str, Json]:
    return {f"{each['in']} {each['name']}": each for each in operation.get("parameters", ())}


def _body(old: Json, new: Json, before: Json, now: Json, at: str) -> Iterator[str]:
    was: Json = before.get("requestBody", {})
    is_now: Json = now.get("requestBody", {})
    if is_now.get("required") and not was.get("required"):
        yield f"{at}: a body is required"
    yield from _content(Comparison(old, new, sent=False), was, is_now, f"{at}: body")


def _responses(old: Json, new: Json, before: Json, now: Json, at: str) -> Iterator[str]:
    for status, response in before["responses"].items():
        after: Json | None = now["responses"].get(status)
        if after is None:
            yield f"{at}: response {status} is gone"
            continue
        for name, header in response.get("headers", {}).items():
            if name not in after.get("headers", {}):
                yield f"{at}: header {name} of response {status} is gone"
            elif resolved(old, header).get("required") and not resolved(new, after["headers"][name]).get("required"):
                yield f"{at}: header {name} of response {status} may be missing"
        yield from _content(Comparison(old, new, sent=True), response, after, f"{at}: response {status}")


def _content(comparison: Comparison, was: Json, is_now: Json, at: str) -> Iterator[str]:
    for media, content in was.get("content", {}).items():
        if media not in is_now.get("content", {}):
            yield f"{at}: {media} is gone"
        else:
            yield from comparison.breaks(content["schema"], is_now["content"][media]["schema"], at)
