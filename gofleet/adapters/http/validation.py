"""Validation of requests: strict JSON bodies, path and query parameters, and bounding boxes.

Bodies are decoded to the declared type: a string is not accepted for a number, and an unknown field is an error. The
last value of a duplicate key counts, as in nearly every JSON parser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from litestar import Request
from litestar.openapi.spec import Example
from litestar.params import HeaderParameter, PathParameter, QueryParameter
from litestar.types import HTTPScope

from gofleet.adapters.http.asgi import Scope
from gofleet.adapters.http.faults import (
    ECHO_CHARS_MAX,
    InvalidBody,
    InvalidParameter,
    all_of,
    body_faults,
    escape_pointer,
    plain_message,
)
from gofleet.adapters.http.fields import ID, NUMBER_TEXT
from gofleet.adapters.http.problem_types import RequestError
from gofleet.adapters.http.query import Checked
from gofleet.adapters.http.times import parse_time
from gofleet.domain.driver import driver_identifier
from gofleet.domain.errors import Invalid
from gofleet.domain.order_ids import COMPUTED, RESERVED
from gofleet.domain.place import BoundingBox
from gofleet.domain.values import identifier

T = TypeVar("T")
BBOX_CHARS_MAX = 200
IDEMPOTENCY_KEY = "Idempotency-Key"


class MalformedJson(RequestError):
    """The body is not one JSON document."""

    code = "malformed-json"


class UnsupportedMediaType(RequestError):
    """The Content-Type is not application/json."""

    code = "unsupported-media-type"

    def __init__(self, media_type: str) -> None:
        super().__init__(f"got {media_type}" if media_type else "the Content-Type is missing")


class UnsupportedContentEncoding(RequestError):
    """The body is compressed."""

    code = "unsupported-media-type"
    headers: ClassVar[Mapping[str, str]] = {"Accept-Encoding": "identity"}  # RFC 9110, 15.5.16

    def __init__(self, coding: str) -> None:
        super().__init__(f"the Content-Encoding is {coding}; send the body without compression")


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
        codings = ",".join(self.headers.getall("content-encoding", [])).lower()
        if {coding.strip() for coding in codings.split(",")} - {"", "identity"}:
            raise UnsupportedContentEncoding(codings[:ECHO_CHARS_MAX])
        field = self.route_handler.parsed_data_field
        return decode_body(await self.body(), field.annotation if field else Any)


def decode_body(body: bytes, type_: type[T]) -> T:
    """`body` as `type_`. Raises `MalformedJson`, or `InvalidBody` or `InvalidValues` for all faults."""
    try:
        decoded = msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as error:
        return _decode_anew(body, type_, error)
    except UnicodeDecodeError as error:
        raise MalformedJson("the body is not UTF-8") from error
    except msgspec.DecodeError as error:
        raise MalformedJson(str(error).replace(*_TRUNCATED)) from error
    except RecursionError as error:
        raise MalformedJson("the body is nested too deeply") from error
    if _LONG_NUMBER.search(body) and (faults := body_faults(_exact.decode(body), type_)):
        raise all_of(faults)
    return decoded


def parse_identifier(name: str, text: str) -> str:
    """The identifier in the parameter `name`; raises `InvalidParameter`."""
    try:
        return identifier(name, text)
    except Invalid as error:
        raise InvalidParameter(name, error.why) from error


def parse_idempotency_key(scope: Scope | HTTPScope) -> str | None:
    """The Idempotency-Key of a request (draft-ietf-httpapi-idempotency-key-header-07), None without one; raises
    `InvalidParameter`. The draft's quoted string and the plain text that most clients send are the same key."""
    values = [value for name, value in scope["headers"] if name == b"idempotency-key"]
    if not values:
        return None
    if len(values) > 1:
        raise InvalidParameter(IDEMPOTENCY_KEY, "must be sent once")
    key: str = values[0].decode("latin-1").strip(" \t")
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if key in RESERVED or key.startswith(COMPUTED):
        raise InvalidParameter(IDEMPOTENCY_KEY, f"must not be a reserved word, nor begin with {COMPUTED}")
    return parse_identifier(IDEMPOTENCY_KEY, key)


def parse_driver_id(text: str) -> str:
    """The driver id in the path; raises `InvalidParameter`."""
    try:
        return driver_identifier("driver_id", text)
    except Invalid as error:
        raise InvalidParameter("driver_id", error.why) from error


def parse_time_parameter(name: str, text: str) -> datetime:
    """The time in the parameter `name`, in UTC; raises `InvalidParameter`."""
    try:
        return parse_time(name, text)
    except Invalid as error:
        raise InvalidParameter(name, error.why) from error


def parse_bbox(text: str) -> BoundingBox:
    """The bounding box in the format of RFC 7946, section 5; raises `InvalidParameter`, also for one that crosses the
    antimeridian."""
    if len(text) > BBOX_CHARS_MAX or not _BBOX.fullmatch(text):
        hint = "; in a URL, + is written %2B" if " " in text else ""
        raise InvalidParameter(
            "bbox", f"must be four numbers, separated by commas: min_lng,min_lat,max_lng,max_lat{hint}"
        )
    try:
        return BoundingBox(*map(float, text.split(","))).checked("bbox")
    except Invalid as error:
        raise InvalidParameter("bbox", error.why) from error


def query_filter(description: str, example: object, **schema: Any) -> QueryParameter:
    """An optional filter of a list; `schema` holds further keywords of JSON Schema."""
    return QueryParameter(description=description, examples=_examples(example), schema_extra=schema or None)


def id_filter(description: str, example: str) -> QueryParameter:
    """A `query_filter` by an identifier."""
    return query_filter(description, example, **ID)


_NUMBER = r"[+-]?[0-9]{1,3}(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?"
_BBOX = re.compile(rf"{_NUMBER}(?:,{_NUMBER}){{3}}")
# msgspec reports fault and place in one sentence, such as "Expected `float`, got `str` - at `$.pickup.lat`".
_MESSAGE = re.compile(r"(?P<fault>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_FIELD_MESSAGE = re.compile(r"Object (?P<fault>missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL)
_FIELD_FAULTS = {"missing required": "is missing", "contains unknown": "is not a field of this object"}
# msgspec reports half of a surrogate pair with the same message.
_TRUNCATED = ("Input data was truncated", "the body ends too early, or holds half of a surrogate pair")
# A double holds 15 digits of any decimal number: only a longer one can lose a part that the rule of amounts refuses.
_LONG_NUMBER = re.compile(rb"[0-9.]{17}")
_exact = msgspec.json.Decoder(float_hook=Decimal)


def _decode_anew(body: bytes, type_: type[T], first: msgspec.ValidationError) -> T:
    """Decode with leap seconds, or raise all faults; `first` is the one that msgspec found."""
    try:
        value = _exact.decode(body)
        if not (faults := body_faults(value, type_)):
            return msgspec.convert(value, type_)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ArithmeticError):
        faults = []  # the body is malformed after the first fault
    raise all_of(faults or [_first_fault(str(first))]) from first


def _first_fault(message: str) -> InvalidBody:
    match = _MESSAGE.fullmatch(message)
    fault, path = (match["fault"], match["path"] or "") if match else (message, "")
    pointer = re.sub(r"\[(\d+)\]", r"/\1", path).replace(".", "/")  # the names of our own fields hold no dots
    if field := _FIELD_MESSAGE.fullmatch(fault):
        return InvalidBody(f"{pointer}/{escape_pointer(field['name'])}", _FIELD_FAULTS[field["fault"]])
    return InvalidBody(pointer, plain_message(fault))


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
    str,
    PathParameter(description="Id of the order.", schema_extra=ID, examples=_examples("pedido-teste-01")),
    Checked(identifier),
]
DriverIdPath = Annotated[
    str,
    PathParameter(description="Id of the driver.", schema_extra=ID, examples=_examples("maria")),
    Checked(driver_identifier),
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
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name=IDEMPOTENCY_KEY,
        description="Taken as the `id` if the body has none, as one of the caller's own: a repeated request creates no"
        " second order. 1 to 64 characters of `A-Z a-z 0-9 . _ : -`, plain or in quotes.",
        schema_extra={"pattern": '^("[A-Za-z0-9._:-]{1,64}"|[A-Za-z0-9._:-]{1,64})$'},
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
_checked_box = Checked(lambda _, text: parse_bbox(text))
MapBbox = Annotated[str | None, _bbox_filter("Only drivers inside this box"), _checked_box]
StreamBbox = Annotated[str | None, _bbox_filter("Also send the positions of drivers inside this box"), _checked_box]
