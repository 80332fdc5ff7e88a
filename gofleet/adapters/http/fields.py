"""Fields that many bodies have, with what the API's description says of them.

What may be in them is checked by the domain, whose words are clearer than a schema's: here it is only told.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from gofleet.domain.driver import NAME_CHARS_MAX
from gofleet.domain.place import LATITUDE_MAX
from gofleet.domain.values import AMOUNT_MAX, IDENTIFIER

ID: dict[str, Any] = {"pattern": f"^{IDENTIFIER.pattern}$"}
NUMBER_TEXT: dict[str, Any] = {"pattern": r"^[1-9][0-9]{0,17}$"}
INT64 = 2**63 - 1
_MONEY: dict[str, Any] = {"maximum": float(AMOUNT_MAX), "multipleOf": 0.01}

Count = Annotated[int, Meta(ge=0, le=2**31 - 1, description="How many.", examples=[3])]
Version = Annotated[
    int, Meta(ge=1, le=2**31 - 1, description="Counts changes: 1, 2, ...; in quotes it is the ETag.", examples=[3])
]
RowId = Annotated[int, Meta(ge=1, le=INT64, description="Its number.", examples=[7])]
Fingerprint = Annotated[str, Meta(description="The same for failures of the same sort.", examples=["9f86d081884c"])]
OrderId = Annotated[str, Meta(description="Id of the order.", examples=["pedido-teste-01"], extra_json_schema=ID)]
CustomerId = Annotated[str, Meta(description="Id of the customer.", examples=["ana"], extra_json_schema=ID)]
DriverId = Annotated[str, Meta(description="Id of the driver.", examples=["maria"], extra_json_schema=ID)]
Name = Annotated[
    str,
    Meta(
        description="For people; 1 to 100 printable characters, not all of them spaces.",
        examples=["Maria"],
        extra_json_schema={"minLength": 1, "maxLength": NAME_CHARS_MAX, "pattern": "[^\\s]"},
    ),
]
Price = Annotated[
    float,
    Meta(
        description="More than 0, at most two decimals; with the tax at most 99999999.99.",
        examples=[100.0],
        extra_json_schema={"exclusiveMinimum": 0, **_MONEY},
    ),
]
Tax = Annotated[
    float,
    Meta(description="At most two decimals.", examples=[10.0], extra_json_schema={"minimum": 0, **_MONEY}),
]
Lat = Annotated[
    float,
    Meta(
        description="Latitude, degrees (WGS 84).",
        examples=[-23.5505],
        extra_json_schema={"minimum": -LATITUDE_MAX, "maximum": LATITUDE_MAX},
    ),
]
Lng = Annotated[
    float,
    Meta(
        description="Longitude, degrees (WGS 84).",
        examples=[-46.6333],
        extra_json_schema={"minimum": -180, "maximum": 180},
    ),
]
NOT_ZERO: dict[str, Any] = {
    "not": {"type": "object", "properties": {"lat": {"const": 0}, "lng": {"const": 0}}, "required": ["lat", "lng"]}
}
"""0/0 is what a broken sensor reports."""
TIMESTAMP: dict[str, Any] = {"format": "date-time"}


def timestamp(text: str, example: str | None = "2026-01-31T12:00:00Z") -> Any:
    """Metadata of a time."""
    return Meta(description=text, examples=[example], extra_json_schema=TIMESTAMP)


NextCursor = Annotated[
    str | None,
    Meta(description="Asks for the items after these, as `cursor`; null at the end.", examples=["MjAyNi0wMS0zMSBvLTE"]),
]


def described(text: str, *examples: object, **more: Any) -> Any:
    """Metadata of any other field: what it means, examples, and further words of JSON Schema."""
    return Meta(description=text, examples=list(examples) or None, extra_json_schema=more or None)
