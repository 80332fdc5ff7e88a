"""The codec and betterproto's own encoding agree about every message type."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import betterproto
import pytest
from grpclib import GRPCError, Status
from hypothesis import given, settings
from hypothesis import strategies as st

from gofleet.adapters.grpc import pb
from gofleet.adapters.grpc.codec import StrictCodec

MESSAGES = [kind for kind in vars(pb).values() if isinstance(kind, type) and issubclass(kind, betterproto.Message)]
CODEC = StrictCodec(Status.INTERNAL)
VALUES: dict[str, st.SearchStrategy[object]] = {
    betterproto.TYPE_STRING: st.text(max_size=20),
    betterproto.TYPE_DOUBLE: st.floats(allow_nan=False),
    betterproto.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    betterproto.TYPE_UINT32: st.integers(0, 2**32 - 1),
    betterproto.TYPE_UINT64: st.integers(0, 2**64 - 1),
    betterproto.TYPE_BOOL: st.booleans(),
}


def content(kind: Any) -> st.SearchStrategy[dict[str, object]]:
    """Arbitrary fields with arbitrary values."""
    of: dict[str, st.SearchStrategy[object]] = {}
    for field in fields(kind):
        value = VALUES[field.metadata["betterproto"].proto_type]
        of[field.name] = st.lists(value, max_size=5) if "List" in str(field.type) else value
    return st.fixed_dictionaries({}, optional=of)


@pytest.mark.parametrize("kind", MESSAGES)
@settings(deadline=None)  # no absolute times
@given(data=st.data())
def test_each_library_decodes_what_the_other_encodes(kind: Any, data: st.DataObject) -> None:
    message = kind(**data.draw(content(kind)))

    written = CODEC.encode(message, kind)

    assert kind.FromString(written) == message == CODEC.decode(written, kind) == CODEC.decode(bytes(message), kind)
    for field in fields(kind):
        assert getattr(CODEC.decode(written, kind), field.name) == getattr(message, field.name)


def test_a_decoded_message_can_be_encoded_again() -> None:
    written = CODEC.encode(pb.SearchDriverRequest(order_id="o-1", pickup_lat=0.0), pb.SearchDriverRequest)
    message = CODEC.decode(written, pb.SearchDriverRequest)
    message.exclude.append("ana")  # must not change other messages

    again = CODEC.decode(CODEC.encode(message, pb.SearchDriverRequest), pb.SearchDriverRequest)

    assert (again.order_id, again.pickup_lat, again.pickup_lng, again.exclude) == ("o-1", 0.0, None, ["ana"])
    assert CODEC.decode(written, pb.SearchDriverRequest).exclude == []


def test_unknown_fields_are_ignored() -> None:
    assert CODEC.decode(b"\x0a\x03o-1\xf8\x7f\x01", pb.SearchDriverRequest).order_id == "o-1"


@pytest.mark.parametrize("broken", [b"\x0a\xff", b"\x12\x01a", b"\x0a\x02\xff\xff", b"\x08\x01"])
def test_invalid_bytes_are_refused(broken: bytes) -> None:
    with pytest.raises(GRPCError, match="not a SearchDriverRequest"):
        CODEC.decode(broken, pb.SearchDriverRequest)
