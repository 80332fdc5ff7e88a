"""Whether one JSON Schema may take the place of another without harm to those who rely on it.

What is *told* (answers, events) may gain fields and values, and lose nothing: readers ignore what they do not know.
What is *asked* (requests) may be taken more generously, and never less.
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
    """Of schemas within an `old` and a `new` document; `told` is the direction."""

    old: Json
    new: Json
    told: bool
    seen: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def breaks(self, old: Json, new: Json, at: str) -> Iterator[str]:
        """A sentence for each change that breaks somebody."""
        names = (str(old.get("$ref")), str(new.get("$ref")))
        if "$ref" in old and "$ref" in new:
            if names in self.seen:
                return
            self.seen.add(names)
        old, new = resolved(self.old, old), resolved(self.new, new)
        yield from self._types(old, new, at)
        yield from self._values(old, new, at)
        yield from self._fields(old, new, at)
        if not self.told:
            yield from self._bounds(old, new, at)
        if "items" in old and "items" in new:
            yield from self.breaks(old["items"], new["items"], f"{at}[]")
        for before, after in zip(self._choices(old), self._choices(new), strict=False):
            yield from self.breaks(before, after, at)

    def _types(self, old: Json, new: Json, at: str) -> Iterator[str]:
        before, after = types_of(self.old, old), types_of(self.new, new)
        wide, narrow = (before, after) if self.told else (after, before)
        if surplus := narrow - wide - ({"integer"} if "number" in wide else set[str]()):
            yield f"{at}: {'may be' if self.told else 'may no longer be'} {', '.join(sorted(surplus))}"

    def _values(self, old: Json, new: Json, at: str) -> Iterator[str]:
        before, after = values_of(old), values_of(new)
        if before is not None and after is not None and (gone := before - after):
            yield f"{at}: {', '.join(sorted(gone))} is no longer a value"
        if not self.told and before is None and after is not None:
            yield f"{at}: takes certain values only"

    def _fields(self, old: Json, new: Json, at: str) -> Iterator[str]:
        before: Json = old.get("properties", {})
        after: Json = new.get("properties", {})
        for name in before:  # in their order, so that the same is told every time
            if name not in after:
                yield f"{at}.{name}: is gone"
            else:
                yield from self.breaks(before[name], after[name], f"{at}.{name}")
        required, required_now = set(old.get("required", ())), set(new.get("required", ()))
        if self.told:
            for name in sorted((required - required_now) & after.keys()):
                yield f"{at}.{name}: may be missing"
            return
        for name in sorted(required_now - required):
            yield f"{at}.{name}: is required"
        if new.get("additionalProperties") is False and old.get("additionalProperties") is not False:
            yield f"{at}: refuses unknown fields"

    def _bounds(self, old: Json, new: Json, at: str) -> Iterator[str]:
        for word in LOWER:
            if word in new and new[word] > old.get(word, float("-inf")):
                yield f"{at}: {word} was {old.get(word, 'absent')}, is {new[word]}"
        for word in UPPER:
            if word in new and new[word] < old.get(word, float("inf")):
                yield f"{at}: {word} was {old.get(word, 'absent')}, is {new[word]}"
        for word in EXACT:
            if word in new and new[word] != old.get(word):
                yield f"{at}: {word} was {old.get(word, 'absent')}, is {new[word]}"

    def _choices(self, schema: Json) -> list[Json]:
        return [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]


def resolved(document: Json, value: Json) -> Json:
    """What a reference leads to, with the words beside it."""
    while reference := value.get("$ref"):
        found: Json = document
        for step in str(reference).removeprefix("#/").split("/"):
            found = found[step]
        value = {**found, **{word: more for word, more in value.items() if word != "$ref"}}
    return value


def types_of(document: Json, schema: Json) -> frozenset[str]:
    schema = resolved(document, schema)
    if choices := schema.get("anyOf"):
        return frozenset[str]().union(*(types_of(document, one) for one in choices))
    given: str | list[str] | None = schema.get("type")
    if given is None:
        return frozenset({"string"}) if values_of(schema) else EVERY_TYPE
    return frozenset([given] if isinstance(given, str) else given)


def values_of(schema: Json) -> frozenset[str] | None:
    """The only ones that it allows, as text; None if it allows any."""
    if "const" in schema:
        return frozenset({str(schema["const"])})
    return frozenset(map(str, schema["enum"])) if "enum" in schema else None
