"""Parameter types of commands, validated before any request is sent: a wrong value is invalid usage."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_args

from cyclopts import Parameter
from cyclopts.validators import Number

from gofleet.cli.errors import INVALID_USAGE, CliError

if TYPE_CHECKING:
    from cyclopts import Token

    from gofleet.settings import Settings


# The domain's own enums would take a fifth of the time that help may take; tests/cli/test_start.py compares them.
StatusName = Literal["pending", "dispatched", "manual-dispatch", "delivered", "cancelled"]
CauseName = Literal["malformed", "no-such-order", "failed", "crash-loop"]
StageName = Literal["waiting", "requested", "replayed"]


class LatLng(NamedTuple):
    """A position in degrees."""

    lat: float
    lng: float

    def body(self) -> dict[str, float]:
        return self._asdict()


class ItemOption(NamedTuple):
    """Goods of an order."""

    quantity: int
    name: str

    def body(self) -> dict[str, object]:
        return self._asdict()


class PairOption(NamedTuple):
    """A name and a value of the user's own."""

    name: str
    value: str


def to_api_status(name: StatusName) -> str:
    """The status as the API writes it."""
    return name.upper().replace("-", "_")


def choice(names: tuple[str, ...]) -> Parameter:
    """Parameter that accepts each name in any case, and with `_` for `-`: `manual-dispatch` or `MANUAL_DISPATCH`."""

    def parse(type: Any, tokens: Sequence[Token]) -> str:
        name = tokens[0].value.lower().replace("_", "-")
        if name not in names:
            raise ValueError(f"{tokens[0].value!r} is not one of {', '.join(names)}")
        return name

    return Parameter(converter=parse, n_tokens=1)


def parse_local_time(type: Any, tokens: Sequence[Token]) -> datetime:
    """Parses a date or a time in ISO 8601; without an offset it is local."""
    text = tokens[0].value
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a time, such as 2026-01-31 or 2026-01-31T12:00") from error


def parse_lat_lng(type: Any, tokens: Sequence[Token]) -> LatLng:
    """Parses `LAT,LNG`; ValueError if the position is not valid."""
    from gofleet.domain.errors import Invalid
    from gofleet.domain.place import Place

    text = tokens[0].value
    try:
        lat, lng = map(float, text.split(","))
        Place(lat, lng).checked("it")
    except Invalid as error:
        raise ValueError(f"{text}: {error.field.removeprefix('it.')} {error.why}") from error
    except ValueError as error:
        raise ValueError(f"{text!r} is not LAT,LNG in degrees, such as -23.55,-46.63") from error
    return LatLng(lat, lng)


def parse_items(type: Any, tokens: Sequence[Token]) -> list[ItemOption]:
    """Parses `QUANTITYxNAME`, once for each token; the API validates the values."""
    found: list[ItemOption] = []
    for token in tokens:
        quantity, _, name = token.value.partition("x")
        if not (quantity.isascii() and quantity.isdigit() and name.strip()):
            raise ValueError(f"{token.value!r} is not QUANTITYxNAME, such as 2xPizza")
        found.append(ItemOption(int(quantity), name.strip()))
    return found


def parse_pairs(type: Any, tokens: Sequence[Token]) -> list[PairOption]:
    """Parses `NAME=VALUE`, once for each token; ValueError for a name that is given twice."""
    found: dict[str, PairOption] = {}
    for token in tokens:
        name, equals, value = token.value.partition("=")
        if not (name and equals):
            raise ValueError(f"{token.value!r} is not NAME=VALUE, such as shop=centro")
        if name in found:
            raise ValueError(f"{name!r} is given twice")
        found[name] = PairOption(name, value)
    return list(found.values())


def parse_amount(type: Any, tokens: Sequence[Token]) -> Decimal:
    """Parses an amount of money; the API validates its range."""
    text = tokens[0].value
    if not (text.isascii() and text.replace(".", "", 1).isdigit()):
        raise ValueError(f"{text!r} is not an amount, such as 12.50")
    return Decimal(text)


def validate_id(type: Any, value: str | None) -> None:
    """ValueError unless the value is a valid id."""
    from gofleet.domain.errors import Invalid
    from gofleet.domain.values import identifier

    try:
        if value is not None:
            identifier("an id", value)
    except Invalid as error:
        raise ValueError(str(error)) from error


STATUS = choice(get_args(StatusName))
TIME = Parameter(converter=parse_local_time, n_tokens=1)
AMOUNT = Parameter(converter=parse_amount, n_tokens=1)
ITEM = Parameter(converter=parse_items, n_tokens=1, accepts_keys=False)
PAIR = Parameter(converter=parse_pairs, n_tokens=1, accepts_keys=False)
LAT_LNG = Parameter(converter=parse_lat_lng, n_tokens=1, accepts_keys=False, allow_leading_hyphen=True)
Id = Annotated[str, Parameter(validator=validate_id)]
Limit = Annotated[int, Parameter(help="Maximum number of items.", validator=Number(gte=1))]
Version = Annotated[int | None, Parameter(help="Only if the current version is this one.", validator=Number(gte=1))]

EnvFile = Annotated[Path | None, Parameter(help="Read the settings from this file instead of .env.")]


def settings_from(env_file: Path | None) -> Settings:
    """The effective settings, with `env_file` in the place of `.env`."""
    from gofleet.settings import load

    if env_file is None:
        return load()
    if not env_file.is_file():
        raise CliError(f"cannot read {env_file}", "there is no such file", "pass --env-file FILE", INVALID_USAGE)
    return load(dotenv=env_file)
