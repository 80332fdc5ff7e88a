"""JSON Schemas of msgspec structs, for OpenAPI and AsyncAPI."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import cleandoc
from typing import Any, cast

import msgspec

Json = dict[str, Any]
REFERENCE = "#/components/schemas/"


def schemas_of(types: Iterable[type]) -> Json:
    """The schemas of these structs and of the structs in them, by name."""
    schemas = msgspec.json.schema_components(types, ref_template=REFERENCE + "{name}")[1]
    for schema in schemas.values():
        schema["description"] = cleandoc(schema.get("description", ""))  # Python before 3.13 keeps the indentation
    return schemas


def example_of(schema: Json, schemas: Json) -> Any:
    """An example built from the examples of the fields; null for a field without one."""
    if reference := schema.get("$ref"):
        schema = schemas[reference.removeprefix(REFERENCE)] | {name: schema[name] for name in schema if name != "$ref"}
    if choices := schema.get("anyOf"):
        schema = schema | choices[0]
    if "$ref" in schema:
        return example_of({"$ref": schema["$ref"]}, schemas)
    candidates = [*schema.get("examples", ()), *schema.get("enum", ())]
    if candidates:
        return candidates[0]
    if schema.get("type") == "object":
        return {name: example_of(field, schemas) for name, field in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [example_of(schema["items"], schemas)]
    return schema.get("default", True) if schema.get("type") == "boolean" else None


def referenced_schemas(schemas: Json, paths: Json) -> Json:
    """The `schemas` that `paths` refers to, directly or through other schemas, sorted by name."""
    referenced: Json = {}
    pending = _references(paths)
    while pending:
        name = pending.pop()
        if name not in referenced:
            referenced[name] = schemas[name]
            pending |= _references(schemas[name])
    return {name: referenced[name] for name in sorted(referenced)}


def _references(value: object) -> set[str]:
    """Names of the schemas that `value` refers to at any depth."""
    match value:
        case dict():
            mapping = cast("Json", value)
            reference = str(mapping.get("$ref", ""))
            names = {reference.removeprefix(REFERENCE)} if reference.startswith(REFERENCE) else set[str]()
            return names.union(*map(_references, mapping.values()))
        case list():
            return set[str]().union(*map(_references, cast("list[object]", value)))
        case _:
            return set()
