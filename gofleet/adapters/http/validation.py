"""JSON bodies, decoded strictly: a number is a number, and a field nobody knows is refused.

Of a key that occurs twice the last one counts, as in nearly every JSON parser.
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
"""So much of a client's own text is repeated in the answer."""
FAULTS_MAX = 20


class MalformedJson(RequestError):
    code = "malformed-json"


class UnsupportedMediaType(RequestError):
    code = "unsupported-media-type"

    def __init__(self, given: str) -> None:
        super().__init__(f"got {given}" if given else "the Content-Type is missing")


class InvalidBody(Invalid):
    """JSON of another shape than the wanted one; `pointer` (RFC 6901) says where."""

    def __init__(self, pointer: str, why: str) -> None:
        super().__init__(pointer.lstrip("/").replace("/", ".") or "the body", why)
        self.pointer = pointer


class InvalidItems(Invalid):
    """Several things that are wrong in one list; `faults` are the first of them."""

    def __init__(self, faults: Sequence[InvalidBody]) -> None:
        super().__init__(faults[0].field, faults[0].why)
        self.faults = faults[:FAULTS_MAX]


class StrictRequest(Request[Any, Any, Any]):
    """Litestar decodes JSON without types and then lets "1.5" pass for 1.5; this decodes to the handler's own type."""

    async def body(self) -> bytes:
        body = await super().body()
        if not body:
            raise MalformedJson("the body is empty")  # Litestar would take it for a missing argument
        return body

    async def json(self) -> Any:
        media_type = self.content_type[0].strip().lower()
        if media_type != "application/json":
            raise UnsupportedMediaType(media_type[:ECHO_CHARS_MAX])
        wanted = self.route_handler.parsed_data_field
        return decode_body(await self.body(), wanted.annotation if wanted else Any)


def decode_body(body: bytes, wanted: type[T]) -> T:
    """`body` as `wanted`; `NotJson`, `InvalidBody` about the first thing that is wrong, or, if that is an entry of a
    list, `InvalidBodies` about each entry."""
    try:
        return msgspec.json.decode(body, type=wanted)
    except msgspec.ValidationError as error:
        raise _all_of(_invalid(str(error)), body, wanted) from error
    except UnicodeDecodeError as error:
        raise MalformedJson("the body is not UTF-8") from error
    except msgspec.DecodeError as error:
        raise MalformedJson(str(error).replace(*_TRUNCATED)) from error
    except RecursionError as error:
        raise MalformedJson("the body is nested too deeply") from error


# msgspec tells where and what in one sentence, such as "Expected `float`, got `str` - at `$.pickup.lat`".
_SENTENCE = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_NAMED_FIELD = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL)
_FIELD_FAULTS = {"missing required": "is missing", "contains unknown": "is not a field of this object"}
# That is also its word for half of a surrogate pair.
_TRUNCATED = ("Input data was truncated", "the body ends too early, or holds half of a surrogate pair")
_KINDS = {
    "float": "a number",
    "int": "an integer",
    "str": "a string",
    "bool": "a boolean",
    "object": "an object",
    "array": "an array",
    "datetime": "a time as in RFC 3339",
}


def _invalid(message: str) -> InvalidBody:
    found = _SENTENCE.fullmatch(message)
    what, path = (found["what"], found["path"] or "") if found else (message, "")
    pointer = re.sub(r"\[(\d+)\]", r"/\1", path).replace(".", "/")  # the names of our own fields hold no dots
    if named := _NAMED_FIELD.fullmatch(what):
        name = named["name"][:ECHO_CHARS_MAX].replace("~", "~0").replace("/", "~1")
        return InvalidBody(f"{pointer}/{name}", _FIELD_FAULTS[named["what"]])
    return InvalidBody(pointer, plain_message(what))


def plain_message(fault: str) -> str:
    """msgspec's "Expected `float`, got `str`" without words of Python."""
    return re.sub(r"`(.*?)`", _kinds, fault).replace("Expected", "must be")


def _kinds(quoted: re.Match[str]) -> str:
    return " or ".join(_KINDS.get(kind, kind) for kind in quoted[1].split(" | "))


def _all_of(first: InvalidBody, body: bytes, wanted: Any) -> Invalid:
    """What is wrong with each entry of the list that `first` is about; `first` if it is about no list."""
    found = re.match(r"/(\w+)/\d+", first.pointer)
    entry_type = _entry_type(wanted, found[1]) if found else None
    if found is None or entry_type is None:
        return first
    try:
        entries = cast("dict[str, object]", msgspec.json.decode(body))[found[1]]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return first  # something is wrong behind it, too
    faults: list[InvalidBody] = []
    for number, entry in enumerate(cast("list[object]", entries)):
        try:
            msgspec.convert(entry, entry_type)
        except msgspec.ValidationError as error:
            fault = _invalid(str(error))
            faults.append(InvalidBody(f"/{found[1]}/{number}{fault.pointer}", fault.why))
        if len(faults) == FAULTS_MAX:
            break
    return InvalidItems(faults) if faults else first


def _entry_type(wanted: Any, field: str) -> Any:
    """The type of the entries of that field, if it is a list."""
    declared = inspect.type_info(wanted)
    if not isinstance(declared, inspect.StructType):
        return None
    kinds = [one.type for one in declared.fields if one.encode_name == field]
    kinds = [kind.type if isinstance(kind, inspect.Metadata) else kind for kind in kinds]
    entries = [kind.item_type for kind in kinds if isinstance(kind, inspect.ListType)]
    return entries[0].cls if entries and isinstance(entries[0], inspect.StructType) else None


_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def _like(value: object) -> list[Example]:
    return [Example(value=value)]


# The schemas only tell: what is wrong is said by our own checks, in words rather than in regular expressions.
OrderIdPath = Annotated[
    str, PathParameter(description="Id of the order.", schema_extra=ID, examples=_like("pedido-teste-01"))
]
DriverIdPath = Annotated[str, PathParameter(description="Id of the driver.", schema_extra=ID, examples=_like("maria"))]
ParkedIdPath = Annotated[
    str, PathParameter(description="Number of the parked message.", schema_extra=NUMBER_TEXT, examples=_like("7"))
]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Items of one answer at most.", examples=_like(50))]
IF_MATCH: dict[str, Any] = {"minLength": 1, "pattern": r'^(\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$'}
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="ETag of what is to be changed, as the client saw it; several, or `*` for any.",
        schema_extra=IF_MATCH,
        examples=_like('"3"'),
    ),
]
IfNoneMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-None-Match",
        description="ETags that the client has: 304 if it is one of them.",
        examples=_like('"3"'),
    ),
]


def query_filter(text: str, example: object, **more: Any) -> QueryParameter:
    """An optional condition of a list; `more` are words of JSON Schema."""
    return QueryParameter(description=text, examples=_like(example), schema_extra=more or None)


class InvalidParameter(Invalid):
    """`Invalid`, in the path or the query instead of the body."""


async def check_query(request: Request[Any, Any, Any]) -> None:
    """Before a handler. Litestar takes the last value of a parameter that was sent twice, `null` for not sent, and a
    number for the seconds since 1970."""
    fields = {
        getattr(field.kwarg_definition, "name", None) or name: field
        for name, field in request.route_handler.parsed_fn_signature.parameters.items()
    }
    seen: set[str] = set()
    for name, value in request.query_params.multi_items():
        if not (field := fields.get(name)):
            continue
        if any(one.is_non_string_sequence for one in (field, *field.inner_types)):
            continue  # it may be repeated
        kinds = {field.annotation, *(inner.annotation for inner in field.inner_types)}
        if name in seen:
            raise InvalidParameter(name, "must be given once")
        if value.lower() == "null" and str not in kinds:
            raise InvalidParameter(name, "must not be null; leave it out")
        if datetime in kinds and not _DATE.match(value):
            raise InvalidParameter(name, "must be a time as in RFC 3339")
        seen.add(name)


def parse_identifier(name: str, text: str) -> str:
    """An identifier out of the path or the query."""
    try:
        return identifier(name, text)
    except Invalid as error:
        raise InvalidParameter(name, error.why) from error


def parse_driver_id(text: str) -> str:
    """A driver's id out of the path."""
    try:
        return driver_identifier("driver_id", text)
    except Invalid as error:
        raise InvalidParameter("driver_id", error.why) from error


def to_utc(field: str, time: datetime, refusal: type[Invalid] = Invalid) -> datetime:
    """`time` in UTC; refused when it names no time zone, or lies outside the calendar in UTC."""
    if time.tzinfo is None:
        raise refusal(field, "must name a time zone, such as Z")
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise refusal(field, "is out of range") from error


BBOX_CHARS_MAX = 200
_NUMBER = r"[+-]?[0-9]{1,3}(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?"
_BOX = re.compile(rf"{_NUMBER}(?:,{_NUMBER}){{3}}")


def parse_bbox(text: str) -> BoundingBox:
    """`BadParameter` if it is none, or crosses the antimeridian."""
    if len(text) > BBOX_CHARS_MAX or not _BOX.fullmatch(text):
        raise InvalidParameter("bbox", "must be four numbers with commas between: min_lng,min_lat,max_lng,max_lat")
    try:
        return BoundingBox(*map(float, text.split(","))).checked("bbox")
    except Invalid as error:
        raise InvalidParameter("bbox", error.why) from error


def _about(what: str) -> QueryParameter:
    return query_filter(
        f"{what}: min_lng,min_lat,max_lng,max_lat, degrees (WGS 84). Not across the antimeridian.",
        "-46.7,-23.6,-46.5,-23.5",
        pattern=f"^{_BOX.pattern}$",
        max_length=BBOX_CHARS_MAX,
    )


MapBbox = Annotated[str | None, _about("Only those inside")]
StreamBbox = Annotated[str | None, _about("Also how drivers move inside")]
