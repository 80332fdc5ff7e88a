"""What a route does not declare is refused: parameters of the path and the query, all faults at once, and bodies.

Unknown parameters are refused, because a filter with a typing error would answer with everything. Litestar alone
ignores them, takes the last value of a repeated parameter, and `null` for an absent one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, cast
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.handlers import BaseRouteHandler
from litestar.params import PathParameter, QueryParameter
from litestar.typing import FieldDefinition

from gofleet.adapters.http.asgi import Scope
from gofleet.adapters.http.faults import ECHO_CHARS_MAX, InvalidBody, InvalidParameter, all_of, plain_message
from gofleet.adapters.http.load_shedding import has_body
from gofleet.domain.errors import Invalid
from gofleet.domain.values import identifier

PARAMETERS_MAX = 100
"""More parameters than this are not even parsed: no route has as many."""


@dataclass(frozen=True)
class Checked:
    """Annotation of a handler's text parameter: `check` gets its name and value and raises `Invalid`.

    The handler parses the text itself; the check is there to report every fault of a request in one response.
    """

    check: Callable[[str, str], object]


AN_ID = Checked(identifier)


async def check_declared(request: Request[Any, Any, Any]) -> None:
    """Runs before each handler. Raises `InvalidParameter`, or `InvalidValues` for several faults; `InvalidBody` for a
    body of a request that has none."""
    if request.method == "OPTIONS":
        return  # the parameters are those of the request that the client asks about
    declared = _declared(request.route_handler)
    faults = _query_faults(request.scope["query_string"], declared)
    for name, value in request.path_params.items():
        if (fault := _value_fault(name, str(value), declared[name])) is not None:
            faults.append(fault)
    if request.route_handler.parsed_data_field is None and has_body(cast("Scope", request.scope)):
        async for chunk in request.stream():
            if chunk:
                faults.append(InvalidBody("", "must be left out: this request has none"))
                break
    if faults:
        raise all_of(faults)


def _query_faults(query: bytes, declared: Mapping[str, FieldDefinition]) -> list[Invalid]:
    if not query:
        return []
    try:
        given = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    except ValueError:
        return [InvalidParameter("", f"there are more than {PARAMETERS_MAX} parameters")]
    known = {name: field for name, field in declared.items() if isinstance(field.kwarg_definition, QueryParameter)}
    faults, seen = list[Invalid](), set[str]()
    for name, value in given:
        field = known.get(name)
        if field is None:
            faults.append(InvalidParameter(name[:ECHO_CHARS_MAX], _unknown(name, list(known))))
        elif name in seen and not _is_list(field):
            faults.append(InvalidParameter(name, "must be given once"))
        elif (fault := _value_fault(name, value, field)) is not None:
            faults.append(fault)
        seen.add(name)
    return faults


def _value_fault(name: str, value: str, field: FieldDefinition) -> Invalid | None:
    if not value:
        return InvalidParameter(name, "must not be empty; leave it out")
    type_ = field.annotation
    is_text = str in {type_, *(inner.annotation for inner in field.inner_types)}
    if value.lower() == "null" and not is_text:
        return InvalidParameter(name, "must not be null; leave it out")
    try:
        for check in (each for each in field.metadata if isinstance(each, Checked)):
            check.check(name, value)
        if not is_text:
            msgspec.convert([value] if _is_list(field) else value, _constrained(field), strict=False)
    except Invalid as error:
        return InvalidParameter(name, error.why)
    except msgspec.ValidationError as error:
        return InvalidParameter(name, plain_message(str(error).partition(" - at ")[0], type_))
    return None


def _is_list(field: FieldDefinition) -> bool:
    return any(each.is_non_string_sequence for each in (field, *field.inner_types))


def _constrained(field: FieldDefinition) -> Any:
    """The declared type with its bounds."""
    bounds = {name: getattr(field.kwarg_definition, name, None) for name in ("ge", "gt", "le", "lt")}
    return Annotated[field.annotation, msgspec.Meta(**bounds)] if any(bounds.values()) else field.annotation


def _unknown(name: str, known: list[str]) -> str:
    if not known:
        return "is not a parameter of this route, which has none"
    close = get_close_matches(name.lower(), known, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"is not a parameter of this route{hint} (it has {', '.join(known)})"


@cache  # one entry for each route
def _declared(handler: BaseRouteHandler) -> Mapping[str, FieldDefinition]:
    """The parameters of the path and the query by their names in the request, those of dependencies included."""
    providers = handler.resolve_dependencies()
    fields = dict[str, FieldDefinition]()
    for name, field in handler.parsed_fn_signature.parameters.items():
        fields |= providers[name].parsed_fn_signature.parameters if name in providers else {name: field}
    return {
        getattr(field.kwarg_definition, "name", None) or name: field
        for name, field in fields.items()
        if isinstance(field.kwarg_definition, (PathParameter, QueryParameter))
    }
