"""Changes of a protobuf description that break callers generated from the old one."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)


def proto_breaks(old: bytes, new: bytes) -> Iterator[str]:
    """Both are FileDescriptorSets, as protoc writes them."""
    after = {file.name: file for file in FileDescriptorSet.FromString(new).file}
    for before in FileDescriptorSet.FromString(old).file:
        if before.name not in after:
            yield f"{before.name}: is gone"
        else:
            yield from _file(before, after[before.name])


def _file(old: FileDescriptorProto, new: FileDescriptorProto) -> Iterator[str]:
    if old.package != new.package:
        yield f"package was {old.package}, is {new.package}"
    messages = {message.name: message for message in new.message_type}
    for message in old.message_type:
        if message.name not in messages:
            yield f"{message.name}: is gone"
        else:
            yield from _message(message, messages[message.name])
    services = {service.name: service for service in new.service}
    for service in old.service:
        if service.name not in services:
            yield f"{service.name}: is gone"
        else:
            yield from _service(service, services[service.name])
    for enum in old.enum_type:
        now = {value.number: value.name for one in new.enum_type if one.name == enum.name for value in one.value}
        for value in enum.value:
            if now.get(value.number) != value.name:
                yield f"{enum.name}: {value.name} = {value.number} is gone"


def _message(old: DescriptorProto, new: DescriptorProto) -> Iterator[str]:
    now = {field.number: field for field in new.field}
    for field in old.field:
        if field.number not in now:
            yield f"{old.name}.{field.name} = {field.number}: is gone"
        elif _shape(field) != _shape(now[field.number]):
            yield f"{old.name}.{field.name} = {field.number}: was {_shape(field)}, is {_shape(now[field.number])}"
    free = {number for one in old.reserved_range for number in range(one.start, one.end)}
    for number in free & now.keys():
        yield f"{old.name}: number {number} is reserved, but used by {now[number].name}"


def _shape(field: FieldDescriptorProto) -> tuple[object, ...]:
    return field.name, field.type, field.type_name, field.label, field.proto3_optional


def _service(old: ServiceDescriptorProto, new: ServiceDescriptorProto) -> Iterator[str]:
    now = {method.name: method for method in new.method}
    for method in old.method:
        if method.name not in now:
            yield f"{old.name}.{method.name}: is gone"
        elif method.SerializeToString(deterministic=True) != now[method.name].SerializeToString(deterministic=True):
            yield f"{old.name}.{method.name}: request, response or streaming differs"
