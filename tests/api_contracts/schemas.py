"""Compatibility of JSON Schemas.

Schemas of what the server *sends* (responses, events) may gain fields and values and lose none: readers ignore unknown
fields. Schemas of what it receives (requests) may become more permissive and never stricter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
EVERY_TYPE = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
EXACT = ("pattern", "format", "multipleOf", "not")


@dataclass(frozen=True)
class Comparison:
    """Compares schemas of an `old` and a `new` document; `sent`: the server sends values of them."""

    old: Json
    new: Json
    sent: bool
    seen: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def breaks(self, old: Json, new: Json, at: str) -> Iterator[str]:
        """A sentence for each breaking change."""
        names = (str(old.get("$ref")), str(new.get("$ref")))
        if "$ref" in old and "$ref" in new:
            if names in self.seen:
                return
            self.seen.add(names)
        old, new = resolved(self.old, old), resolved(self.new, new)
        yield from self._types(old, new, at)
        yield from self._values(old, new, at)
        yield from self._fields(old, new, at)
        if not self.sent:
            yield from self._bounds(old, new, at)
        if "items" in old and "items" in new:
            yield from self.breaks(old["items"], new["items"], f"{at}[]")
        for before, after in zip(self._choices(old), self._choices(new), strict=False):
            yield from self.breaks(before, after, at)

    def _types(self, old: Json, new: Json, at: str) -> Iterator[str]:
        before, after = types_of(self.old, old), types_of(self.new, new)
        wide, narrow = (before, after) if self.sent else (after, before)
        if surplus := narrow - wide - ({"integer"} if "number" in wide else set[str]()):
            yield f"{at}: {'may be' if self.sent else 'may no longer be'} {', '.join(sorted(surplus))}"

    def _values(self, old: Json, new: Json, at: str) -> Iterator[str]:
        before, after = values_of(old), values_of(new)
        if before is not None and after is not None and (gone := before - after):
            yield f"{at}: {', '.join(sorted(gone))} is no longer a value"
        if not self.sent and before is None and after is not None:
            yield f"{at}: takes certain values only"

    def _fields(self, old: Json, new: Json, at: str) -> Iterator[str]:
        before: Json = old.get("properties", {})
        after: Json = new.get("properties", {})
        for name in before:  # in their order, so that the output is stable
            if name not in after:
                yield f"{at}.{name}: is gone"
            else:
                yield from self.breaks(before[name], after[name], f"{at}.{name}")
        required, required_now = set(old.get("required", ())), set(new.get("required", ()))
        if self.sent:
            for name in sorted((required - required_now) & after.keys()):
                yield f"{at}.{name}: may be missing"
            return
        for name in sorted(required_now - required):
            yield f"{at}.{name}: is required"
        if new.get("additionalProperties") is False and old.get("additionalProperties") is not False:
            yield f"{at}: refuses unknown fields"

    def _bounds(self, old: Json, new: Json, at: str) -> Iterator[str]:
        for keyword in LOWER:
            if keyword in new and new[keyword] > old.get(keyword, float("-inf")):
                yield f"{at}: {keyword} was {old.get(keyword, 'absent')}, is {new[keyword]}"
        for keyword in UPPER:
            if keyword in new and new[keyword] < old.get(keyword, float("inf")):
                yield f"{at}: {keyword} was {old.get(keyword, 'absent')}, is {new[keyword]}"
        for keyword in EXACT:
            if keyword in new and new[keyword] != old.get(keyword):
                yield f"{at}: {keyword} was {old.get(keyword, 'absent')}, is {new[keyword]}"

    def _choices(self, schema: Json) -> list[Json]:
        return [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]


def resolved(document: Json, value: Json) -> Json:
    """The target of a reference, with the keywords beside it."""
    while reference := value.get("$ref"):
        target: Json = document
        for step in str(reference).removeprefix("#/").split("/"):
            target = target[step]
        value = {**target, **{keyword: each for keyword, each in value.items() if keyword != "$ref"}}
    return value


def types_of(document: Json, schema: Json) -> frozenset[str]:
    schema = resolved(document, schema)
    if choices := schema.get("anyOf"):
        return frozenset[str]().union(*(types_of(document, choice) for choice in choices))
    declared: str | list[str] | None = schema.get("type")
    if declared is None:
        return frozenset({"string"}) if values_of(schema) else EVERY_TYPE
    return frozenset([declared] if isinstance(declared, str) else declared)


def values_of(schema: Json) -> frozenset[str] | None:
    """The values that it allows, as text; None if it allows any."""
    if "const" in schema:
        return frozenset({str(schema["const"])})
    return frozenset(map(str, schema["enum"])) if "enum" in schema else None
