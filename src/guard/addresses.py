"""E-mail and IP addresses in a text's shadow.

An e-mail address is a local part, `@` and a domain with a dot and a top-level domain of letters: `root@localhost` in a
shell line is none, `deploy@web1.example.com` is one in form, and taken for one. `git@` names no person.
An IPv4 address is four numbers up to 255 that nothing says are a version: not behind a word such as "version" or
"section", `nginx-`, `Chrome/`, `==` or `>=`; bare `1.2.3.4` is an address. Loopback and unspecified addresses name
nobody's machine and stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from guard.bounds import Bounds

MAX_LOCAL, MAX_DOMAIN = 64, 128
"""RFC 5321 allows 64 and 255; a domain of more than 128 is no mail address that anybody has."""
EMAIL = Bounds(MAX_LOCAL + 1 + MAX_DOMAIN, MAX_LOCAL + 1 + MAX_DOMAIN + 1, MAX_LOCAL + 1)

_ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_LOCAL = _ALNUM + "_.+-%&'~^!#$*"
_DOMAIN_NAME = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})\.){1,16}[A-Za-z_]{2,63}")
_NOT_A_DOMAIN = re.compile(r"\d+\.\d+\.|\dx\.(?:png|jpe?g|gif|webp|svg|avif)\b")
"""A package's version (`react@18.3.0-rc.dev`), an image's scale (`icon@2x.png`)."""
_NOBODY = {"git"}


def emails(shadow: str) -> Iterator[tuple[int, int]]:
    at = shadow.find("@")
    while at != -1:
        head = shadow[max(0, at - MAX_LOCAL) : at]
        local = head[len(head.rstrip(_LOCAL)) :].lstrip("-.+%&'~^!#$*")
        tail = shadow[at + 1 : at + 1 + MAX_DOMAIN]
        domain = _DOMAIN_NAME.match(tail) if local else None
        if domain and not _NOT_A_DOMAIN.match(tail) and local not in _NOBODY:
            yield at - len(local), at + 1 + domain.end()
        at = shadow.find("@", at + 1)


def undecided_email(shadow: str) -> int:
    tail = shadow[-EMAIL.reach :]
    return len(shadow) - len(tail) + len(tail.rstrip(_LOCAL + "@"))


MAX_IP = 45
"""`0000:0000:0000:0000:0000:ffff:255.255.255.255`."""
_BEHIND = 32
IP = Bounds(MAX_IP, MAX_IP + 4, _BEHIND + 2)

_IPV6_CHARS = "0123456789abcdefABCDEF:."
_IPV4 = re.compile(r"(?<![\dA-Za-z])(?<![\dA-Za-z]\.)(?:\d{1,3}\.){3}\d{1,3}(?![\dA-Za-z]|\.[\dA-Za-z])")
_COLONS = re.compile(r"(?<![0-9A-Fa-f:.])[0-9A-Fa-f:.]{3,47}(?![0-9A-Za-z:.])")
_GROUPED = re.compile(r"[0-9A-Fa-f]{3}|(?:[0-9A-Fa-f]+:){3}")
_VERSION = re.compile(
    r"(?:[A-Za-z]-|\b[A-Z][A-Za-z]{2,20}/|[=<>~!^]=\s?"
    r"|\b(?i:versions?|ver|release[sd]?|build|rev(?:ision)?|firmware|sections?|sec|chapters?|clauses?|paragraph|figure"
    r"|fig|appendix|(?:(?:up|down)grad(?:e[ds]?|ing)|updat(?:e[ds]?|ing))\s(?:to|from))[\s:.#v-]{1,3})$"
)


def ips(shadow: str) -> Iterator[tuple[int, int]]:
    for match in _IPV4.finditer(shadow):
        start, end = match.span()
        if _names_a_machine(IPv4Address, match.group()) and not _VERSION.search(
            shadow[max(0, start - _BEHIND) : start]
        ):
            yield start, end
    if "::" in shadow or shadow.count(":") >= 6:
        yield from _ipv6(shadow)


def _ipv6(shadow: str) -> Iterator[tuple[int, int]]:
    for match in _COLONS.finditer(shadow):
        start, end = match.span()
        if start and shadow[start - 1].isalnum():  # the end of a word: `addr:2001:db8::1`, but not `std::1ab`
            start = shadow.find(":", start, end)
        if start >= 0 and shadow[start : start + 2] != "::" and shadow[start] == ":":
            start += 1
        elif start < 0 or (start and shadow[start - 1].isalnum()):
            continue
        bare = shadow[start:end].rstrip(".")
        if bare.endswith(":") and not bare.endswith("::"):  # `from 2001:db8::1: hello`
            bare = bare[:-1]
        digit = any(character.isdigit() for character in bare)
        if digit and len(bare) <= MAX_IP and _GROUPED.search(bare) and _names_a_machine(IPv6Address, bare):
            yield start, start + len(bare)


def _names_a_machine(kind: type[IPv4Address | IPv6Address], text: str) -> bool:
    try:
        address = kind(text)
    except AddressValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


def undecided_ip(shadow: str) -> int:
    tail = shadow[-IP.reach :]
    return len(shadow) - len(tail) + len(tail.rstrip(_IPV6_CHARS))
