"""Identifiers and amounts of money: formats and limits.

Our identifiers are UUIDv7 (sortable by time), those of clients are short plain text; amounts are exact decimals with
two places.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from gofleet.domain.errors import Invalid

if sys.version_info >= (3, 14):
    from uuid import uuid7
else:
    from uuid_utils import uuid7 as written_uuid7
    from uuid_utils.compat import uuid7

IDENTIFIER = re.compile(r"(?!\.\.?\Z)[A-Za-z0-9._:-]{1,64}")
"""Without `.` and `..`: as segments of a URL they lead to another one (RFC 3986, 5.2.4), in any client's hands."""
IDENTIFIER_SCHEMA: Mapping[str, Any] = {"pattern": "^[A-Za-z0-9._:-]{1,64}$", "not": {"enum": [".", ".."]}}
"""The same for JSON Schema; many clients' regular expressions have no lookahead."""
CENT = Decimal("0.01")
AMOUNT_MAX = Decimal("99999999.99")


def new_id() -> UUID:
    return uuid7()


def new_text_id() -> str:
    """A new UUIDv7 as text; cheaper than `str(new_id())`."""
    return str(uuid7() if sys.version_info >= (3, 14) else written_uuid7())


def identifier(field: str, text: str) -> str:
    """`text` if it is 1 to 64 characters of `[A-Za-z0-9._:-]` and neither `.` nor `..`, else `Invalid`."""
    if text in (".", ".."):
        raise Invalid(field, "must not be . or .., which URLs reserve")
    if not IDENTIFIER.fullmatch(text):
        raise Invalid(field, "must be 1 to 64 characters of A-Z a-z 0-9 . _ : -")
    return text


def money(field: str, amount: Decimal) -> Decimal:
    """`amount` with exactly two decimal places; `Invalid` outside of 0.00 to 99,999,999.99 or with more places."""
    if not amount.is_finite():
        raise Invalid(field, "must be a finite number")
    if amount < 0:
        raise Invalid(field, "must not be negative")
    if amount > AMOUNT_MAX:
        raise Invalid(field, f"must be at most {AMOUNT_MAX}")
    try:
        rounded = amount.quantize(CENT)
    except InvalidOperation as error:
        raise Invalid(field, "must have at most 2 decimal places") from error
    if rounded != amount:
        raise Invalid(field, "must have at most 2 decimal places")
    return abs(rounded)  # -0.00 is 0.00


def positive_money(field: str, amount: Decimal) -> Decimal:
    """As `money`, and more than 0."""
    if (amount := money(field, amount)) == 0:
        raise Invalid(field, "must be more than 0")
    return amount


def total(price: Decimal, tax: Decimal) -> Decimal:
    """`price + tax`; `Invalid` if the sum exceeds the maximum amount."""
    final = price + tax
    if final > AMOUNT_MAX:
        raise Invalid("price", f"plus tax must be at most {AMOUNT_MAX}")
    return final
