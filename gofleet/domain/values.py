"""Identifiers, displayed texts and amounts of money: formats and limits.

Our identifiers are UUIDv7 (sortable by time), those of clients are short plain text; amounts are exact decimals with
two places.
"""

from __future__ import annotations

import re
import sys
import unicodedata
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
_JOINERS = "\u200c\u200d"
_BLANKS = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and symbols without a glyph."""
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
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


def displayed_text(field: str, text: str, most: int) -> str:
    """`text` in Unicode's normal form NFC; `Invalid` for one that cannot be displayed, deceives its reader, or has more
    than `most` characters.

    Joiners (U+200C, U+200D) are part of words in Persian, Sinhala and others, and of emoji; other format characters,
    such as overrides of the direction, are refused.
    """
    text = unicodedata.normalize("NFC", text)
    for number, char in enumerate(text):
        beside = text[number - 1 : number] + text[number + 1 : number + 2]
        joins = char in _JOINERS and len(beside) == 2 and not any(each.isspace() or each in _JOINERS for each in beside)
        if unicodedata.category(char) in _UNPRINTABLE and not joins:
            label = unicodedata.name(char, "a control character")
            raise Invalid(field, f"must not contain U+{ord(char):04X} ({label}) as its character {number + 1}")
    if len(text) > most or not any(unicodedata.category(char)[0] in "LNPS" and char not in _BLANKS for char in text):
        raise Invalid(field, f"must be 1 to {most} characters, not all of them spaces or marks")
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
