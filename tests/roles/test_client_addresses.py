"""Client address behind trusted proxies."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gofleet.adapters.http.rate_limit import ClientAddresses

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def a_scope(client: str | None, *forwarded: str) -> dict[str, object]:
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in forwarded]
    return {"client": None if client is None else (client, 4711), "headers": headers}


@pytest.mark.parametrize(
    ("client", "forwarded", "name"),
    [
        ("203.0.113.7", (), "203.0.113.7"),
        ("203.0.113.7", ("198.51.100.1",), "203.0.113.7"),  # not a trusted proxy: its header is ignored
        ("10.1.2.3", (), "10.1.2.3"),
        ("10.1.2.3", ("198.51.100.1",), "198.51.100.1"),
        ("10.1.2.3", ("1.1.1.1, 198.51.100.1",), "198.51.100.1"),  # the client itself wrote the left one
        ("10.1.2.3", ("1.1.1.1, 198.51.100.1, 10.9.9.9",), "198.51.100.1"),
        ("10.1.2.3", ("1.1.1.1", "198.51.100.1"), "198.51.100.1"),
        ("10.1.2.3", ("10.4.4.4, 10.5.5.5",), "10.4.4.4"),
        ("10.1.2.3", ("198.51.100.1, nonsense",), "10.1.2.3"),
        ("10.1.2.3", ("",), "10.1.2.3"),
        ("10.1.2.3", ("198.51.100.1:8080",), "198.51.100.1"),
        ("10.1.2.3", ("[2001:db8:1:2:3::4]:8080",), "2001:db8:1:2::/64"),
        ("::ffff:10.1.2.3", ("198.51.100.1",), "198.51.100.1"),
        ("fd00::1", ("198.51.100.1",), "198.51.100.1"),
        ("2001:db8:1:2:3::4", (), "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::5", (), "2001:db8:1:2::/64"),
        (None, ("198.51.100.1",), "unknown"),
    ],
)
def test_the_nearest_address_that_is_not_a_trusted_proxy(
    client: str | None, forwarded: tuple[str, ...], name: str
) -> None:
    assert ClientAddresses(PROXIES).name(a_scope(client, *forwarded)) == name


def test_headers_are_ignored_without_trusted_proxies() -> None:
    assert ClientAddresses().name(a_scope("10.1.2.3", "198.51.100.1")) == "10.1.2.3"
