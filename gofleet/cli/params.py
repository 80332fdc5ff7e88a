"""Values that people type, checked before anything is asked: a wrong one is a wrong call."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_args

from cyclopts import Parameter
from cyclopts.validators import Number

if TYPE_CHECKING:
    from cyclopts import Token


# The domain's own enums would do, at a fifth of the time that a help may take; tests/cli/test_start.py compares.
StatusName = Literal["pending", "dispatched", "manual-dispatch", "delivered", "cancelled"]
CauseName = Literal["malformed", "no-such-order", "failed", "crash-loop"]
StageName = Literal["waiting", "requested", "replayed"]


class Point(NamedTuple):
    """A place in degrees."""

    lat: float
    lng: float

    def body(self) -> dict[str, float]:
        return self._asdict()


def status(name: StatusName) -> str:
    """The status as the API writes it."""
    return name.upper().replace("-", "_")


def status_name(type: Any, tokens: Sequence[Token]) -> str:
    """Reads a status as it is typed or as the API writes it: `manual-dispatch` or `MANUAL_DISPATCH`."""
    name = tokens[0].value.lower().replace("_", "-")
    if name not in (names := get_args(StatusName)):
        raise ValueError(f"{tokens[0].value!r} is none of {', '.join(names)}")
    return name


def point(type: Any, tokens: Sequence[Token]) -> Point:
    """Reads `LAT,LNG`; ValueError if it is no place where anyone can be."""
    from gofleet.domain.errors import Invalid
    from gofleet.domain.place import Place

    text = tokens[0].value
    try:
        lat, lng = map(float, text.split(","))
        Place(lat, lng).checked("it")
    except Invalid as error:
        raise ValueError(f"{text}: {error.field.removeprefix('it.')} {error.why}") from error
    except ValueError as error:
        raise ValueError(f"{text!r} is no LAT,LNG in degrees, such as -23.55,-46.63") from error
    return Point(lat, lng)


def amount(type: Any, tokens: Sequence[Token]) -> Decimal:
    """Reads an amount of money; the API says whether it may be one."""
    text = tokens[0].value
    if not (text.isascii() and text.replace(".", "", 1).isdigit()):
        raise ValueError(f"{text!r} is no amount, such as 12.50")
    return Decimal(text)


def is_id(type: Any, value: str | None) -> None:
    """ValueError unless it may be an id."""
    from gofleet.domain.errors import Invalid
    from gofleet.domain.values import identifier

    try:
        if value is not None:
            identifier("an id", value)
    except Invalid as error:
        raise ValueError(str(error)) from error


STATUS = Parameter(converter=status_name, n_tokens=1)
AMOUNT = Parameter(converter=amount, n_tokens=1)
POINT = Parameter(converter=point, n_tokens=1, accepts_keys=False, allow_leading_hyphen=True)
Id = Annotated[str, Parameter(validator=is_id)]
Limit = Annotated[int, Parameter(help="How many at most.", validator=Number(gte=1))]
Version = Annotated[int | None, Parameter(help="Only if it is at this version.", validator=Number(gte=1))]
