"""Prices in exact decimals with two places: the one place that knows their limits."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from gofleet.domain.errors import Invalid

CENT = Decimal("0.01")
AMOUNT_MAX = Decimal("99999999.99")


def money(field: str, amount: Decimal) -> Decimal:
    """`amount` with exactly two decimal places; `Invalid` if it is not a sum of money from 0.00 to 99,999,999.99."""
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


def total(price: Decimal, tax: Decimal) -> Decimal:
    """`price + tax`; `Invalid` if the sum is beyond the largest amount."""
    final = price + tax
    if final > AMOUNT_MAX:
        raise Invalid("price", f"plus tax must be at most {AMOUNT_MAX}")
    return final
