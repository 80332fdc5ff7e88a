"""JSON Schemas that refer to each other by name."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import cleandoc
from typing import Any, cast

import msgspec

Json = dict[str, Any]
REFERENCE = "#/components/schemas/"


def schemas_of(types: Iterable[type]) -> Json:
    """Of these structs, and of what they are made of, by name."""
    schemas = msgspec.json.schema_components(types, ref_template=REFERENCE + "{name}")[1]
    for schema in schemas.values():
        schema["description"] = cleandoc(schema.get("description", ""))  # Python before 3.13 keeps the indentation
    return schemas


def example_of(schema: Json, schemas: Json) -> Any:
    """A value made of the examples of its fields; null where there is none."""
    if reference := schema.get("$ref"):
        schema = schemas[reference.removeprefix(REFERENCE)]
    if choices := schema.get("anyOf"):
        schema = schema | choices[0]
    if "$ref" in schema:
        return example_of({"$ref": schema["$ref"]}, schemas)
    given = [*schema.get("examples", ()), *schema.get("enum", ())]
    if given:
        return given[0]
    if schema.get("type") == "object":
        return {name: example_of(field, schemas) for name, field in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [example_of(schema["items"], schemas)]
    return schema.get("default", True) if schema.get("type") == "boolean" else None


def referenced_schemas(schemas: Json, paths: Json) -> Json:
    """Those of `schemas` that `paths` refers to, and those that these refer to, by name."""
    found: Json = {}
    waiting = _names(paths)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = schemas[name]
            waiting |= _names(schemas[name])
    return {name: found[name] for name in sorted(found)}


def _names(value: object) -> set[str]:
    """Of the schemas that are referred to somewhere in `value`."""
    match value:
        case dict():
            inner = cast("Json", value)
            reference = str(inner.get("$ref", ""))
            mine = {reference.removeprefix(REFERENCE)} if reference.startswith(REFERENCE) else set[str]()
            return mine.union(*map(_names, inner.values()))
        case list():
            return set[str]().union(*map(_names, cast("list[object]", value)))
        case _:
            return set()
