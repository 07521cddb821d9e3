"""Where a service may be sent by a tenant's word: to public addresses, and to networks that the platform names.

A name is checked by what it resolves to, each time that a connection is made, and the connection goes to the very
address that was checked: a name that changes its mind in between (DNS rebinding) gains nothing. Whoever uses this
checks the address itself as well (`check_url`), resolves by `CheckedResolver`, makes its sockets by `checked_sockets`
(an HTTP client asks no resolver for what it reads as an address), and follows no redirect.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from ipaddress import IPv4Network as _IPv4Network
from urllib.parse import urlsplit

from aiohttp import AddrInfoType, SocketFactoryType
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

Network = _IPv4Network | IPv6Network
_NAT64 = IPv6Network("64:ff9b::/96")
_6TO4 = IPv6Network("2002::/16")
_INSIDE = tuple(
    ip_network(network) for network in ("192.0.0.0/24", "::/96", "64:ff9b:1::/48", "5f00::/16", "fec0::/10")
)
"""No public ones either, though Python 3.11 counts them (or some of them) as such: RFC 6890, 4291 (IPv4 inside IPv6),
8215 (a network's own NAT64), 9602, 3879."""
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?\.?")
"""The last label begins with a letter: `127.1`, `2130706433` and `0x7f.1` are spellings of addresses, and no names."""
MAX_NAME = 253


class ForbiddenAddressError(OSError):
    """The address is not one that a tenant may send this service to."""


def parse_networks(text: str) -> tuple[Network, ...]:
    """`10.1.0.0/16, fd00::/8`. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def is_allowed(address: str, networks: Sequence[Network] = ()) -> bool:
    """Public unicast, or in one of `networks`. An IPv4 address that an IPv6 one stands for is looked at as such."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inner = _inner(found)
    if any(found in network or inner in network for network in networks):
        return True
    return _is_public(found) and _is_public(inner)


def check_url(url: str, networks: Sequence[Network] = ()) -> str:
    """The address without a final slash and `/v1`. Raises ValueError, whose text may be told to a tenant.

    `http` goes only to an address in a network that the platform has named. A host that is an address is looked at
    here, since no resolver is asked for it; a name, when a connection is made. Only what each parser of URLs reads
    alike is taken: some make an address of full-width digits."""
    url = url.strip()
    if not _VISIBLE.fullmatch(url) or "\\" in url:
        raise ValueError("base_url: letters outside ASCII (write a name's as xn--…), white space or a backslash")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("base_url: the host or the port is none") from error
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise ValueError("base_url: an address such as https://api.example.com/v1 is expected")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("base_url: no user, no query and no fragment")
    literal = _is_address(host)
    if literal and not is_allowed(host, networks):
        raise ValueError("base_url: this address may not be used")
    if not literal and (len(host) > MAX_NAME or not _NAME.fullmatch(host)):
        raise ValueError("base_url: the host is neither an address nor a name")
    if parts.scheme == "http" and not (literal and any(ip_address(host) in network for network in networks)):
        raise ValueError("base_url: https is needed")
    return url.rstrip("/").removesuffix("/v1")


class CheckedResolver(AbstractResolver):
    """Names to addresses, those alone that `is_allowed`; none left is a failure to connect."""

    def __init__(self, networks: Sequence[Network] = (), *, inner: AbstractResolver | None = None) -> None:
        self._networks = tuple(networks)
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [one for one in found if is_allowed(one["host"], self._networks)]
        if not allowed:
            raise ForbiddenAddressError("no address of this name may be used")
        return allowed

    async def close(self) -> None:
        await self._inner.close()


def checked_sockets(networks: Sequence[Network] = ()) -> SocketFactoryType:
    """A socket for each connection that may be made, by the address that it is made to, whoever found it."""
    known = tuple(networks)

    def checked_socket(found: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, (host, *_) = found
        if not is_allowed(str(host), known):
            raise ForbiddenAddressError("this address may not be used")
        return socket.socket(family, kind, protocol)

    return checked_socket


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not address.is_multicast and not any(address in network for network in _INSIDE)


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address inside one of the forms in which IPv6 carries it (RFC 4291, 6052, 3056), else itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _6TO4:
        return IPv4Address((int(address) >> 80) & 0xFFFFFFFF)
    return address
