"""What reflection tells about our services: betterproto registers no descriptors, so we ship and load our own."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpclib.health.v1 import health_pb2
from grpclib.reflection.v1 import reflection_pb2
from grpclib.reflection.v1alpha import reflection_pb2 as reflection_v1alpha_pb2


@cache
def descriptor_pool() -> DescriptorPool:
    """The descriptors of every service we serve; a pool of our own, so that nobody else's `fleet.proto` can collide."""
    pool = DescriptorPool()
    for module in (health_pb2, reflection_pb2, reflection_v1alpha_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    shipped = (files("gofleet.adapters.grpc") / "pb" / "fleet.binpb").read_bytes()
    for file in FileDescriptorSet.FromString(shipped).file:
        pool.Add(file)
    return pool
