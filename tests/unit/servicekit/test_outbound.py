"""Addresses that a tenant names: public ones, and what the platform allows; nothing inside, however it is written."""

from __future__ import annotations

import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from servicekit.outbound import CheckedResolver, ForbiddenAddressError, check_url, is_allowed, parse_networks

INSIDE = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104  an address to be refused
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::169.254.169.254",
    "2002:a9fe:a9fe::1",
    "no address",
]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_not_allowed(address: str) -> None:
    assert not is_allowed(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34"])
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_allowed(address)


def test_a_network_that_the_platform_names_is_allowed_and_no_other() -> None:
    networks = parse_networks("10.1.0.0/16, fd00::/8")

    assert is_allowed("10.1.2.3", networks)
    assert is_allowed("::ffff:10.1.2.3", networks)
    assert is_allowed("fd00::1", networks)
    assert not is_allowed("10.2.0.1", networks)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com",
        "https://",
        "https://example.com:0",
        "https://example.com:99999",
        "https://user@example.com",
        "https://example.com/?a=1",
        "https://example.com/#a",
        "http://example.com",
        "http://93.184.216.34",
        "https://127.0.0.1",
        "https://[::1]/v1",
        "https://[::ffff:169.254.169.254]",
    ],
)
def test_another_kind_of_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        check_url(url)


def test_what_is_left_of_an_address_is_its_root() -> None:
    assert check_url(" https://api.example.com/openai/v1/ ") == "https://api.example.com/openai"
    assert check_url("http://10.1.0.5:8000/v1", parse_networks("10.1.0.0/16")) == "http://10.1.0.5:8000"


class _Told(AbstractResolver):
    """Says other addresses each time."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.answers.pop(0)
        ]

    async def close(self) -> None:
        pass


async def test_of_a_names_addresses_only_those_that_are_allowed_are_used() -> None:
    resolver = CheckedResolver(inner=_Told(["10.0.0.1", "93.184.216.34"]))

    assert [one["host"] for one in await resolver.resolve("a.example")] == ["93.184.216.34"]


async def test_a_name_that_turns_to_an_address_inside_is_refused_the_next_time() -> None:
    resolver = CheckedResolver(inner=_Told(["93.184.216.34"], ["169.254.169.254"]))
    await resolver.resolve("a.example")

    with pytest.raises(ForbiddenAddressError):
        await resolver.resolve("a.example")


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost"])
async def test_an_odd_spelling_of_an_address_inside_is_resolved_and_refused(host: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011  refused by us, or unknown to the resolver
        await CheckedResolver().resolve(host)
