"""Where a request came from, for the audit log: never for deciding what it may do."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

MAX_HOPS = 32


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The last address of `X-Forwarded-For` that none of our own proxies has, read from the right: each proxy appends
    the address it was called from, so only what stands to the right of an unknown one is true. The peer itself where
    it is no proxy of ours. What is no address ends the search."""
    if not trusted:
        return peer
    address = peer
    hops = [hop.strip() for value in forwarded_for for hop in value.split(",")][-MAX_HOPS:]
    for hop in (*reversed(hops), ""):
        if not _is_in(address, trusted) or not _is_address(hop):
            break
        address = hop
    return address


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    return _is_address(address) and any(ip_address(address) in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
