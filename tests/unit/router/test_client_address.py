"""Where a request came from: what a client writes into X-Forwarded-For is never believed."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from router.domain.client_address import client_address

OURS = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["1.1.1.1"], "203.0.113.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["1.1.1.1", "203.0.113.7, 10.2.0.1"], "203.0.113.7"),
        ("10.0.0.1", ["not an address"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7, not an address, 10.3.0.1"], "10.3.0.1"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        ("", ["1.1.1.1"], ""),
        ("10.0.0.1", [",".join(["10.9.9.9"] * 10_000)], "10.9.9.9"),
    ],
)
def test_the_last_address_that_is_not_a_proxy_of_ours(peer: str, forwarded: list[str], address: str) -> None:
    assert client_address(peer, forwarded, OURS) == address
