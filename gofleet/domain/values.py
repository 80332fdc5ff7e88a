"""Identifiers: ours are UUIDv7 (sortable by time), our callers' are short plain text."""

from __future__ import annotations

import re
import sys
from uuid import UUID

from gofleet.domain.errors import Invalid

if sys.version_info >= (3, 14):
    from uuid import uuid7
else:
    from uuid_utils import uuid7 as written_uuid7
    from uuid_utils.compat import uuid7

IDENTIFIER = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def new_id() -> UUID:
    return uuid7()


def new_name() -> str:
    """As text, for who needs no more of it."""
    return str(uuid7() if sys.version_info >= (3, 14) else written_uuid7())


def identifier(field: str, text: str) -> str:
    """`text` if it is 1 to 64 characters of `[A-Za-z0-9._:-]`, else `Invalid`."""
    if not IDENTIFIER.fullmatch(text):
        raise Invalid(field, "must be 1 to 64 characters of A-Z a-z 0-9 . _ : -")
    return text
