"""Protobuf encoding: betterproto's message classes, encoded and decoded by the protobuf runtime.

betterproto decodes a message field by field in Python, half a millisecond for a response with five drivers, and accepts
a number where text belongs. The runtime is a dependency anyway, for health and reflection, and decodes in C.

This is the only module that uses undocumented parts of betterproto (pinned exactly), checked by
`tests/roles/test_codec.py`: the fields of a message in its `__dict__`, with the same placeholder object for each absent
field, and `_serialized_on_wire` and `_group_current`, which its constructor would set.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, cast

import betterproto
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet
from grpclib import GRPCError, Status
from grpclib.encoding.base import CodecBase
from grpclib.health.v1 import health_pb2
from grpclib.reflection.v1 import reflection_pb2
from grpclib.reflection.v1alpha import reflection_pb2 as reflection_v1alpha_pb2

PACKAGE = "pb"


class StrictCodec(CodecBase):
    """Protobuf; bytes that are not the expected message end the call with `status`."""

    def __init__(self, status: Status) -> None:
        self._status = status

    @property
    def __content_subtype__(self) -> str:
        return "proto"

    # grpclib's codecs are typed with Any: the message classes of any library.
    def encode(self, message: Any, message_type: Any) -> bytes:
        if not isinstance(message, betterproto.Message):
            return message.SerializeToString()
        kind = _MessageKind.of(type(message))
        present = {name: value for name, value in vars(message).items() if value is not kind.absent.get(name)}
        return kind.runtime(**{name: present[name] for name in kind.names & present.keys()}).SerializeToString()

    def decode(self, data: bytes, message_type: Any) -> Any:
        try:
            if not issubclass(message_type, betterproto.Message):
                return message_type.FromString(data)
            return _MessageKind.of(message_type).decode(data)
        except Exception as error:
            raise GRPCError(self._status, f"not a {message_type.__name__}") from error


@cache
def descriptor_pool() -> DescriptorPool:
    """The descriptors of all services, which reflection serves: betterproto registers none, so they are shipped and
    loaded here. A separate pool, so that no other `fleet.proto` in the process can collide."""
    pool = DescriptorPool()
    for module in (health_pb2, reflection_pb2, reflection_v1alpha_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    shipped = (files("gofleet.adapters.grpc") / "pb" / "fleet.binpb").read_bytes()
    for file in FileDescriptorSet.FromString(shipped).file:
        pool.Add(file)
    return pool


class _MessageKind:
    """One message type, in both libraries."""

    def __init__(self, message_type: type[betterproto.Message]) -> None:
        descriptor = cast("Any", descriptor_pool().FindMessageTypeByName(f"{PACKAGE}.{message_type.__name__}"))
        self.runtime: Any = GetMessageClass(descriptor)
        self.names = frozenset[str](descriptor.fields_by_name)
        self.absent = vars(message_type())
        self._message_type = message_type
        self._numbers = frozenset[int](descriptor.fields_by_number)
        self._repeated = frozenset(field.name for field in descriptor.fields if field.is_repeated)

    @staticmethod
    @cache
    def of(message_type: type[betterproto.Message]) -> _MessageKind:
        return _MessageKind(message_type)

    def decode(self, data: bytes) -> betterproto.Message:
        """Raises any exception for bytes that are not this message."""
        decoded = self.runtime.FromString(data)
        # The runtime keeps a field of a wrong type among the unknown fields.
        if any(field.field_number in self._numbers for field in cast("Any", UnknownFieldSet(decoded))):
            raise ValueError("a field of another type")
        message = self._message_type.__new__(self._message_type)
        content = vars(message)  # without its constructor, which takes longer than everything else
        content |= self.absent | {"_serialized_on_wire": True, "_group_current": {}}
        for field, value in decoded.ListFields():
            content[field.name] = list(value) if field.name in self._repeated else value
        return message
