"""Faults of a request: the errors that report them, and the search for all faults of a body.

The hot path decodes a body with msgspec, which stops at the first fault; only a body with a fault is searched, without
regard to speed. A rule of the domain is part of a field's type: `Meta(extra={CHECK: ...})`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from itertools import islice
from typing import Annotated, Any, cast, get_args, get_origin

import msgspec

from gofleet.adapters.http.times import parse_time
from gofleet.domain.errors import Invalid

ECHO_CHARS_MAX = 64
"""Characters of the client's own text that a response repeats at most."""
FAULTS_MAX = 20
"""Faults of one request that a response reports at most."""
CHECK = "check"
"""Key in `Meta.extra` of a rule that msgspec does not know: a function that gets the field's name and its value and
raises `Invalid`. A number is passed as a `Decimal`."""
Check = Callable[[str, Any], object]


class InvalidBody(Invalid):
    """The body is JSON of another shape than the declared one; `pointer` (RFC 6901) locates the fault."""

    def __init__(self, pointer: str, why: str) -> None:
        super().__init__(pointer.lstrip("/").replace("/", ".") or "the body", why)
        self.pointer = pointer


class InvalidParameter(Invalid):
    """A parameter of the path or the query is invalid."""


class InvalidValues(Invalid):
    """Several values are invalid; `faults` are the first `FAULTS_MAX`."""

    def __init__(self, faults: Sequence[Invalid]) -> None:
        super().__init__(faults[0].field, faults[0].why)
        self.faults = faults[:FAULTS_MAX]


def all_of(faults: Sequence[Invalid]) -> Invalid:
    """One error for all of `faults`, which are not empty."""
    return faults[0] if len(faults) == 1 else InvalidValues(faults)


def with_all_faults(first: Invalid, body: msgspec.Struct) -> Invalid:
    """`first`, which the domain found in `body`, or all that the rules of the fields find if they find any."""
    faults = body_faults(msgspec.to_builtins(body), type(body))
    return all_of(faults) if faults else first


def body_faults(value: object, type_: Any) -> list[InvalidBody]:
    """All faults of `value`, decoded JSON, as a value of `type_`; at most `FAULTS_MAX`.

    A leap second in `value` is replaced by the time that it stands for, because msgspec refuses it.
    """
    return list(islice(_faults({"": value}, "", type_, ""), FAULTS_MAX))


def plain_message(message: str, type_: object = None) -> str:
    """msgspec's "Expected `float`, got `str`" in terms of JSON instead of Python; names the values of an enum."""
    if message.startswith("Invalid enum value") and (values := _enum_values(type_)):
        return f"must be one of {', '.join(values)}"
    return re.sub(r"`(.*?)`", _json_types, message).replace("Expected", "must be")


def escape_pointer(name: str) -> str:
    """A field's name as a step of a JSON pointer."""
    return name[:ECHO_CHARS_MAX].replace("~", "~0").replace("/", "~1")


_JSON_TYPES = {
    "float": "a number",
    "decimal": "a number",
    "int": "an integer",
    "str": "a string",
    "bool": "a boolean",
    "object": "an object",
    "array": "an array",
    "datetime": "a time as in RFC 3339",
}


def _json_types(quoted: re.Match[str]) -> str:
    return " or ".join(_JSON_TYPES.get(name, name) for name in quoted[1].split(" | "))


def _faults(holder: Any, key: Any, type_: Any, pointer: str) -> Iterator[InvalidBody]:
    """The faults of `holder[key]`, of which the pointer is `pointer`."""
    value: Any = holder[key]
    struct, item = _struct_in(type_), _item_in(type_)
    if struct is not None and isinstance(value, dict):
        yield from _struct_faults(cast("dict[str, object]", value), struct, pointer)
        return
    if msgspec.Raw in _types_in(item) and isinstance(value, list):
        value = [msgspec.Raw(b"null") for _ in cast("list[object]", value)]  # each is decoded by itself, later
    elif item is not None and isinstance(value, list):
        items, found = cast("list[object]", value), False
        for number in range(len(items)):
            for fault in _faults(items, number, item, f"{pointer}/{number}"):
                found = True
                yield fault
        if found:
            return
    if isinstance(value, str) and datetime in _types_in(type_):
        try:
            holder[key] = value = parse_time("", value)
        except Invalid as error:
            yield InvalidBody(pointer, error.why)
            return
    try:
        msgspec.convert(value, type_)
        if value is not None:
            for check in _checks_in(type_):
                check("", _exact(cast("object", value)))
    except msgspec.ValidationError as error:
        yield InvalidBody(pointer, plain_message(str(error).partition(" - at ")[0], type_))
    except Invalid as error:
        yield InvalidBody(pointer, error.why)


def _exact(value: object) -> object:
    """A number as a `Decimal`; for a float its shortest notation, which is what the client wrote."""
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value) if isinstance(value, int) else value


def _struct_faults(value: dict[str, object], struct: type[msgspec.Struct], pointer: str) -> Iterator[InvalidBody]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    found = False
    for fault in _field_faults(value, fields, pointer):
        found = True
        yield fault
    rule: Callable[[Any], object] | None = getattr(struct, "check", None)
    if not found and rule is not None:
        try:
            rule(msgspec.convert(value, struct))
        except Invalid as error:
            steps = "".join(f"/{step}" for step in error.field.split(".") if step)
            yield InvalidBody(pointer + steps, error.why)


def _field_faults(value: dict[str, object], fields: dict[str, Any], pointer: str) -> Iterator[InvalidBody]:
    for name in value:
        if name in fields:
            yield from _faults(value, name, fields[name].type, f"{pointer}/{name}")
        else:
            yield InvalidBody(f"{pointer}/{escape_pointer(name)}", "is not a field of this object")
    for name, field in fields.items():
        if field.required and name not in value:
            yield InvalidBody(f"{pointer}/{name}", "is missing")


def _types_in(type_: Any) -> Iterator[Any]:
    """The plain types in a declared one: the alternatives of a union, without annotations."""
    if get_origin(type_) is Annotated:
        yield from _types_in(get_args(type_)[0])
    elif get_origin(type_) in (list, dict) or not get_args(type_):
        yield type_
    else:
        for part in get_args(type_):
            yield from _types_in(part)


def _struct_in(type_: Any) -> type[msgspec.Struct] | None:
    types = [each for each in _types_in(type_) if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    return types[0] if types else None


def _item_in(type_: Any) -> Any:
    items = [get_args(each)[0] for each in _types_in(type_) if get_origin(each) is list]
    return items[0] if items else None


def _checks_in(type_: Any) -> Iterator[Check]:
    for meta in getattr(type_, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.extra and CHECK in meta.extra:
            yield meta.extra[CHECK]
    if get_origin(type_) is not list:
        for part in get_args(type_):
            yield from _checks_in(part)


def _enum_values(type_: object) -> list[str]:
    if isinstance(type_, type) and issubclass(type_, Enum):
        return [str(each.value) for each in type_]
    return [value for part in get_args(type_) for value in _enum_values(part)]
