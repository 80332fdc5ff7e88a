"""Validation of requests: strict JSON bodies, path and query parameters, and bounding boxes.

Bodies are decoded to the declared type: a string is not accepted for a number, and an unknown field is an error. The
last value of a duplicate key counts, as in nearly every JSON parser.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar, cast

import msgspec
from litestar import Request
from litestar.openapi.spec import Example
from litestar.params import HeaderParameter, PathParameter, QueryParameter
from msgspec import inspect

from gofleet.adapters.http.fields import ID, NUMBER_TEXT
from gofleet.adapters.http.problem_types import RequestError
from gofleet.domain.driver import driver_identifier
from gofleet.domain.errors import Invalid
from gofleet.domain.place import BoundingBox
from gofleet.domain.values import identifier

T = TypeVar("T")
ECHO_CHARS_MAX = 64
"""Characters of the client's own text that a response repeats at most."""
FAULTS_MAX = 20
"""Faults of one list that a response reports at most."""
BBOX_CHARS_MAX = 200


class MalformedJson(RequestError):
    """The body is not one JSON document."""

    code = "malformed-json"


class UnsupportedMediaType(RequestError):
    """The Content-Type is not application/json."""

    code = "unsupported-media-type"

    def __init__(self, media_type: str) -> None:
        super().__init__(f"got {media_type}" if media_type else "the Content-Type is missing")


class InvalidBody(Invalid):
    """The body is JSON of another shape than the declared one; `pointer` (RFC 6901) locates the fault."""

    def __init__(self, pointer: str, why: str) -> None:
        super().__init__(pointer.lstrip("/").replace("/", ".") or "the body", why)
        self.pointer = pointer


class InvalidItems(Invalid):
    """Several items of one list are invalid; `faults` are the first `FAULTS_MAX`."""

    def __init__(self, faults: Sequence[InvalidBody]) -> None:
        super().__init__(faults[0].field, faults[0].why)
        self.faults = faults[:FAULTS_MAX]


class InvalidParameter(Invalid):
    """A parameter of the path or the query is invalid."""


class StrictRequest(Request[Any, Any, Any]):
    """A request whose body is decoded to the type that its handler declares.

    Litestar itself decodes JSON without types and then converts, which lets "1.5" pass for 1.5.
    """

    async def body(self) -> bytes:
        body = await super().body()
        if not body:
            raise MalformedJson("the body is empty")  # Litestar would report a missing argument
        return body

    async def json(self) -> Any:
        media_type = self.content_type[0].strip().lower()
        if media_type != "application/json":
            raise UnsupportedMediaType(media_type[:ECHO_CHARS_MAX])
        field = self.route_handler.parsed_data_field
        return decode_body(await self.body(), field.annotation if field else Any)


def decode_body(body: bytes, type_: type[T]) -> T:
    """`body` as `type_`. Raises `MalformedJson`, `InvalidBody` for the first fault, or `InvalidItems` for each invalid
    item if the first fault is in a list."""
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as error:
        raise _collect_faults(_invalid_body(str(error)), body, type_) from error
    except UnicodeDecodeError as error:
        raise MalformedJson("the body is not UTF-8") from error
    except msgspec.DecodeError as error:
        raise MalformedJson(str(error).replace(*_TRUNCATED)) from error
    except RecursionError as error:
        raise MalformedJson("the body is nested too deeply") from error


def plain_message(message: str) -> str:
    """msgspec's "Expected `float`, got `str`" in terms of JSON instead of Python."""
    return re.sub(r"`(.*?)`", _json_types, message).replace("Expected", "must be")


async def check_query(request: Request[Any, Any, Any]) -> None:
    """Reject query parameters that Litestar would reinterpret: it takes the last value of a repeated parameter, `null`
    for an absent one, and a number for seconds since 1970. Runs before each handler."""
    fields = {
        getattr(field.kwarg_definition, "name", None) or name: field
        for name, field in request.route_handler.parsed_fn_signature.parameters.items()
    }
    seen: set[str] = set()
    for name, value in request.query_params.multi_items():
        if not (field := fields.get(name)):
            continue
        if any(type_.is_non_string_sequence for type_ in (field, *field.inner_types)):
            continue  # it may be repeated
        types = {field.annotation, *(inner.annotation for inner in field.inner_types)}
        if name in seen:
            raise InvalidParameter(name, "must be given once")
        if value.lower() == "null" and str not in types:
            raise InvalidParameter(name, "must not be null; leave it out")
        if datetime in types and not _DATE.match(value):
            raise InvalidParameter(name, "must be a time as in RFC 3339")
        seen.add(name)


def parse_identifier(name: str, text: str) -> str:
    """The identifier in the parameter `name`; raises `InvalidParameter`."""
    try:
        return identifier(name, text)
    except Invalid as error:
        raise InvalidParameter(name, error.why) from error


def parse_driver_id(text: str) -> str:
    """The driver id in the path; raises `InvalidParameter`."""
    try:
        return driver_identifier("driver_id", text)
    except Invalid as error:
        raise InvalidParameter("driver_id", error.why) from error


def parse_bbox(text: str) -> BoundingBox:
    """The bounding box in the format of RFC 7946, section 5; raises `InvalidParameter`, also for one that crosses the
    antimeridian."""
    if len(text) > BBOX_CHARS_MAX or not _BBOX.fullmatch(text):
        raise InvalidParameter("bbox", "must be four numbers with commas between: min_lng,min_lat,max_lng,max_lat")
    try:
        return BoundingBox(*map(float, text.split(","))).checked("bbox")
    except Invalid as error:
        raise InvalidParameter("bbox", error.why) from error


def to_utc(field: str, time: datetime, error_type: type[Invalid] = Invalid) -> datetime:
    """`time` in UTC; raises `error_type` if it has no time zone or is outside the calendar in UTC."""
    if time.tzinfo is None:
        raise error_type(field, "must name a time zone, such as Z")
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise error_type(field, "is out of range") from error


def query_filter(description: str, example: object, **schema: Any) -> QueryParameter:
    """An optional filter of a list; `schema` holds further keywords of JSON Schema."""
    return QueryParameter(description=description, examples=_examples(example), schema_extra=schema or None)


def id_filter(description: str, example: str) -> QueryParameter:
    """A `query_filter` by an identifier."""
    return query_filter(description, example, **ID)


_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_NUMBER = r"[+-]?[0-9]{1,3}(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?"
_BBOX = re.compile(rf"{_NUMBER}(?:,{_NUMBER}){{3}}")
# msgspec reports fault and place in one sentence, such as "Expected `float`, got `str` - at `$.pickup.lat`".
_MESSAGE = re.compile(r"(?P<fault>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_FIELD_MESSAGE = re.compile(r"Object (?P<fault>missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL)
_FIELD_FAULTS = {"missing required": "is missing", "contains unknown": "is not a field of this object"}
# msgspec reports half of a surrogate pair with the same message.
_TRUNCATED = ("Input data was truncated", "the body ends too early, or holds half of a surrogate pair")
_JSON_TYPES = {
    "float": "a number",
    "int": "an integer",
    "str": "a string",
    "bool": "a boolean",
    "object": "an object",
    "array": "an array",
    "datetime": "a time as in RFC 3339",
}


def _invalid_body(message: str) -> InvalidBody:
    match = _MESSAGE.fullmatch(message)
    fault, path = (match["fault"], match["path"] or "") if match else (message, "")
    pointer = re.sub(r"\[(\d+)\]", r"/\1", path).replace(".", "/")  # the names of our own fields hold no dots
    if field := _FIELD_MESSAGE.fullmatch(fault):
        name = field["name"][:ECHO_CHARS_MAX].replace("~", "~0").replace("/", "~1")
        return InvalidBody(f"{pointer}/{name}", _FIELD_FAULTS[field["fault"]])
    return InvalidBody(pointer, plain_message(fault))


def _json_types(quoted: re.Match[str]) -> str:
    return " or ".join(_JSON_TYPES.get(name, name) for name in quoted[1].split(" | "))


def _collect_faults(first: InvalidBody, body: bytes, type_: Any) -> Invalid:
    """The fault of each item of the list that `first` is in; `first` itself if it is in no list."""
    match = re.match(r"/(\w+)/\d+", first.pointer)
    item_type = _item_type(type_, match[1]) if match else None
    if match is None or item_type is None:
        return first
    try:
        items = cast("dict[str, object]", msgspec.json.decode(body))[match[1]]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return first  # the body is malformed after the first fault
    faults: list[InvalidBody] = []
    for number, item in enumerate(cast("list[object]", items)):
        try:
            msgspec.convert(item, item_type)
        except msgspec.ValidationError as error:
            fault = _invalid_body(str(error))
            faults.append(InvalidBody(f"/{match[1]}/{number}{fault.pointer}", fault.why))
        if len(faults) == FAULTS_MAX:
            break
    return InvalidItems(faults) if faults else first


def _item_type(type_: Any, field: str) -> Any:
    """The struct type of the items of that field; None if the field is no list of structs."""
    declared = inspect.type_info(type_)
    if not isinstance(declared, inspect.StructType):
        return None
    types = [each.type for each in declared.fields if each.encode_name == field]
    types = [each.type if isinstance(each, inspect.Metadata) else each for each in types]
    items = [each.item_type for each in types if isinstance(each, inspect.ListType)]
    return items[0].cls if items and isinstance(items[0], inspect.StructType) else None


def _examples(value: object) -> list[Example]:
    return [Example(value=value)]


def _bbox_filter(effect: str) -> QueryParameter:
    return query_filter(
        f"{effect}: min_lng,min_lat,max_lng,max_lat in degrees (WGS 84). Must not cross the antimeridian.",
        "-46.7,-23.6,-46.5,-23.5",
        pattern=f"^{_BBOX.pattern}$",
        max_length=BBOX_CHARS_MAX,
    )


# Parameters of handlers. Their schemas only document: the functions above validate, with messages that name the fault
# instead of a regular expression.
OrderIdPath = Annotated[
    str, PathParameter(description="Id of the order.", schema_extra=ID, examples=_examples("pedido-teste-01"))
]
DriverIdPath = Annotated[
    str, PathParameter(description="Id of the driver.", schema_extra=ID, examples=_examples("maria"))
]
ParkedIdPath = Annotated[
    str, PathParameter(description="Id of the parked message.", schema_extra=NUMBER_TEXT, examples=_examples("7"))
]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Maximum number of items.", examples=_examples(50))]
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="ETag of the version to be changed; a list of ETags, or `*` for any version.",
        schema_extra={"minLength": 1, "pattern": r'^(\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$'},
        examples=_examples('"3"'),
    ),
]
IfNoneMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-None-Match",
        description="ETags of the versions that the client has; the response is 304 if one of them is current.",
        examples=_examples('"3"'),
    ),
]
MapBbox = Annotated[str | None, _bbox_filter("Only drivers inside this box")]
StreamBbox = Annotated[str | None, _bbox_filter("Also send the positions of drivers inside this box")]
