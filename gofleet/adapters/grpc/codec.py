"""Messages to bytes and back, believing nothing: betterproto takes a number where a text belongs, and keeps it."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, cast, get_origin

import betterproto
from grpclib import GRPCError, Status
from grpclib.encoding.base import CodecBase

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PYTHON_TYPES: dict[str, type] = {
    betterproto.TYPE_STRING: str,
    betterproto.TYPE_DOUBLE: float,
    betterproto.TYPE_INT64: int,
    betterproto.TYPE_UINT32: int,
    betterproto.TYPE_UINT64: int,
    betterproto.TYPE_BOOL: bool,
}


class StrictCodec(CodecBase):
    """Protobuf; bytes that are not the expected message end the call with `status`."""

    def __init__(self, status: Status) -> None:
        self._status = status

    @property
    def __content_subtype__(self) -> str:
        return "proto"

    # grpclib's codecs are typed with Any: the message classes of any library.
    def encode(self, message: Any, message_type: Any) -> bytes:
        return message.SerializeToString()

    def decode(self, data: bytes, message_type: Any) -> Any:
        try:
            message = message_type.FromString(data)
        # Broken bytes come out as EOFError, struct.error, KeyError, ValueError, ...: no common root.
        except Exception as error:
            raise self._refusal(message_type) from error
        if isinstance(message, betterproto.Message) and not _is_as_declared(message):
            raise self._refusal(message_type)
        return message

    def _refusal(self, message_type: type) -> GRPCError:
        return GRPCError(self._status, f"not a {message_type.__name__}")


def _is_as_declared(message: betterproto.Message) -> bool:
    return all(
        _is_a(getattr(message, name), kind, repeated=repeated, optional=optional)
        for name, kind, repeated, optional in _declared(type(message))
    )


def _is_a(value: object, kind: type, *, repeated: bool, optional: bool) -> bool:
    if repeated:
        return isinstance(value, list) and all(isinstance(each, kind) for each in cast("list[object]", value))
    return isinstance(value, kind) or (optional and value is None)


@cache
def _declared(message_type: type[betterproto.Message]) -> list[tuple[str, type, bool, bool]]:
    """Name, type, whether repeated, whether optional."""
    # Every generated message is a dataclass, which their common root does not say.
    declared = fields(cast("type[DataclassInstance]", message_type))
    metadata = [cast("betterproto.FieldMetadata", field.metadata["betterproto"]) for field in declared]
    return [
        (field.name, PYTHON_TYPES[of.proto_type], get_origin(field.type) is list, bool(of.optional))
        for field, of in zip(declared, metadata, strict=True)
    ]
