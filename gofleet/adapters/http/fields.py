"""Field types that several bodies share, with their descriptions in OpenAPI.

Their constraints only document: the domain validates the values, with clearer messages than a schema's. `CHECK` names
the domain's rule of one field, which finds all faults of a body after the first.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from gofleet.adapters.http.faults import CHECK, Check
from gofleet.domain.driver import NAME_CHARS_MAX, driver_name
from gofleet.domain.place import LATITUDE_MAX, latitude, longitude
from gofleet.domain.values import AMOUNT_MAX, IDENTIFIER_SCHEMA, identifier, money, positive_money

ID: dict[str, Any] = dict(IDENTIFIER_SCHEMA)
DISPLAYED: dict[str, Any] = {"minLength": 1, "pattern": "[^\\s]"}
"""A text as `displayed_text` accepts it, as far as a schema can say so."""
NUMBER_TEXT: dict[str, Any] = {"pattern": r"^[1-9][0-9]{0,17}$"}
INT64 = 2**63 - 1
_MONEY: dict[str, Any] = {"maximum": float(AMOUNT_MAX), "multipleOf": 0.01}

Count = Annotated[int, Meta(ge=0, le=2**31 - 1, description="Number of items.", examples=[3])]
Version = Annotated[
    int,
    Meta(ge=1, le=2**31 - 1, description="Number of changes, starting at 1; in quotes it is the ETag.", examples=[3]),
]
RowId = Annotated[int, Meta(ge=1, le=INT64, description="Id.", examples=[7])]
Fingerprint = Annotated[str, Meta(description="Equal for failures with the same cause.", examples=["9f86d081884c"])]
IdText = Annotated[str, Meta(extra={CHECK: identifier})]
OrderId = Annotated[
    str,
    Meta(description="Id of the order.", examples=["pedido-teste-01"], extra_json_schema=ID, extra={CHECK: identifier}),
]
ClientOrderId = Annotated[
    str,
    Meta(
        description="The customer's own id of the order, if the customer named it. Customers may use either id.",
        examples=["shop-1001"],
        extra_json_schema=ID,
    ),
]
CustomerId = Annotated[
    str, Meta(description="Id of the customer.", examples=["ana"], extra_json_schema=ID, extra={CHECK: identifier})
]
DriverId = Annotated[
    str, Meta(description="Id of the driver.", examples=["maria"], extra_json_schema=ID, extra={CHECK: identifier})
]
Name = Annotated[
    str,
    Meta(
        description="Display name: 1 to 100 characters, not all of them spaces, stored in Unicode's form NFC. Joiners"
        " are accepted, other control and format characters are not.",
        examples=["Maria"],
        extra_json_schema={**DISPLAYED, "maxLength": NAME_CHARS_MAX},
        extra={CHECK: driver_name},
    ),
]
Price = Annotated[
    float,
    Meta(
        description="Price without tax: more than 0, at most two decimals; price and tax together at most 99999999.99.",
        examples=[100.0],
        extra_json_schema={"exclusiveMinimum": 0, **_MONEY},
        extra={CHECK: positive_money},
    ),
]
Tax = Annotated[
    float,
    Meta(
        description="Tax: at most two decimals.",
        examples=[10.0],
        extra_json_schema={"minimum": 0, **_MONEY},
        extra={CHECK: money},
    ),
]
Lat = Annotated[
    float,
    Meta(
        description="Latitude, degrees (WGS 84).",
        examples=[-23.5505],
        extra_json_schema={"minimum": -LATITUDE_MAX, "maximum": LATITUDE_MAX},
        extra={CHECK: latitude},
    ),
]
Lng = Annotated[
    float,
    Meta(
        description="Longitude, degrees (WGS 84).",
        examples=[-46.6333],
        extra_json_schema={"minimum": -180, "maximum": 180},
        extra={CHECK: longitude},
    ),
]
NOT_ZERO: dict[str, Any] = {
    "not": {"type": "object", "properties": {"lat": {"const": 0}, "lng": {"const": 0}}, "required": ["lat", "lng"]}
}
"""Rejects 0/0, which a broken sensor reports."""
TIMESTAMP: dict[str, Any] = {"format": "date-time"}


def timestamp(description: str, example: str | None = "2026-01-31T12:00:00Z") -> Any:
    """Metadata of a point in time."""
    return Meta(description=description, examples=[example], extra_json_schema=TIMESTAMP)


NextCursor = Annotated[
    str | None,
    Meta(description="`cursor` of the next page; null on the last page.", examples=["MjAyNi0wMS0zMSBvLTE"]),
]


def described(description: str, *examples: object, check: Check | None = None, **schema: Any) -> Any:
    """Metadata of any other field: description, examples, the domain's rule, and further keywords of JSON Schema."""
    extra = None if check is None else {CHECK: check}
    return Meta(description=description, examples=list(examples) or None, extra_json_schema=schema or None, extra=extra)
