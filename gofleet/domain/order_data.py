"""What a client tells about an order and no dispatch depends on: reference, items, metadata. Nothing personal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gofleet.domain.errors import Invalid
from gofleet.domain.values import displayed_text

CHANGEABLE = ("reference", "items", "metadata")
REFERENCE_CHARS_MAX = 64
ITEMS_MAX = 50
ITEM_NAME_CHARS_MAX = 100
QUANTITY_MAX = 999
METADATA_MAX = 20
METADATA_KEY_CHARS_MAX = 40
METADATA_VALUE_CHARS_MAX = 500


@dataclass(frozen=True)
class Item:
    """Goods of an order: how many of what."""

    name: str
    quantity: int


def reference(field: str, text: str) -> str:
    """`text` as a reference; `Invalid` for one that is no displayed text of 1 to 64 characters."""
    return displayed_text(field, text, REFERENCE_CHARS_MAX)


def item_name(field: str, text: str) -> str:
    """`text` as the name of an item; `Invalid` for one that is no displayed text of 1 to 100 characters."""
    return displayed_text(field, text, ITEM_NAME_CHARS_MAX)


def quantity(field: str, number: float) -> int:
    """`number` if it is an integer from 1 to 999, else `Invalid`."""
    if number != int(number) or not 1 <= number <= QUANTITY_MAX:
        raise Invalid(field, f"must be 1 to {QUANTITY_MAX}")
    return int(number)


def item_count(field: str, items: Sequence[object]) -> None:
    """`Invalid` for more than 50 items."""
    if len(items) > ITEMS_MAX:
        raise Invalid(field, f"must be at most {ITEMS_MAX} items")


def checked(data: Mapping[str, Any]) -> dict[str, Any]:
    """The values of some fields of CHANGEABLE as an order stores them; `Invalid` for an invalid one."""
    checks: dict[str, Callable[[Any], object]] = {
        "reference": lambda text: None if text is None else reference("reference", text),
        "items": checked_items,
        "metadata": lambda pairs: checked_metadata("metadata", pairs),
    }
    return {name: checks[name](value) for name, value in data.items()}


def merged(stored: Mapping[str, str] | None, patch: Mapping[str, str | None] | None) -> dict[str, str] | None:
    """Metadata after a merge patch (RFC 7396): null removes a pair, or all of them."""
    if patch is None:
        return None
    pairs = {**(stored or {}), **patch}
    return {key: value for key, value in pairs.items() if value is not None}


def checked_items(items: Sequence[Item] | None) -> tuple[Item, ...] | None:
    """The items, None for an empty list; `Invalid` for an invalid or one too many."""
    if not items:
        return None
    item_count("items", items)
    return tuple(
        Item(item_name(f"items.{number}.name", item.name), quantity(f"items.{number}.quantity", item.quantity))
        for number, item in enumerate(items)
    )


def checked_metadata(field: str, pairs: Mapping[str, str] | None) -> dict[str, str] | None:
    """The pairs, None for no pairs; `Invalid` for more than 20, for a key that is no displayed text of 1 to 40
    characters, and for a value of more than 500 or with the character NUL."""
    if not pairs:
        return None
    if len(pairs) > METADATA_MAX:
        raise Invalid(field, f"must be at most {METADATA_MAX} pairs")
    for key, value in pairs.items():
        try:
            displayed_text(field, key, METADATA_KEY_CHARS_MAX)
        except Invalid as error:
            raise Invalid(field, f"has a key that {error.why}") from error
        if len(value) > METADATA_VALUE_CHARS_MAX or "\0" in value:
            raise Invalid(field, f"has a value that must be at most {METADATA_VALUE_CHARS_MAX} characters without NUL")
    return dict(pairs)
