"""Addresses that a tenant names: public ones, and what the platform allows; nothing inside, however it is written."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from servicekit.outbound import (
    CheckedResolver,
    ForbiddenAddressError,
    check_url,
    checked_sockets,
    is_allowed,
    parse_networks,
)

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
    "192.0.0.192",
    "::127.0.0.1",
    "64:ff9b:1::a9fe:a9fe",
    "5f00::1",
    "fec0::1",
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
        "https://①②⑦.0.0.1/v1",
        "https://127。0。0。1/v1",
        "https://\uff11\uff12\uff17.0.0.1/v1",
        "https://2130706433/v1",
        "https://0x7f000001/v1",
        "https://0x7f.1/v1",
        "https://0177.0.0.1/v1",
        "https://127.1/v1",
        "https://0/v1",
        "https://%6c%6fcalhost/v1",
        "https://%31%32%37.0.0.1/v1",
        "https://127.0.0.1./v1",
        "https://93.184.216.34\\@127.0.0.1/v1",
        "https://a.example/v1\r\nX: y",
        "https://127.0\n.0.1/v1",
        "https://\x00/v1",
        "https://a.example/\x00",
        "https://bücher.example/v1",
        "https://a..example/v1",
        "https://-a.example/v1",
        "https://[::1/v1",
        f"https://{'a' * 64}.example/v1",
        f"https://{'a.' * 126}example/v1",
    ],
)
def test_another_kind_of_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        check_url(url)


@pytest.mark.parametrize("host", ["a.example", "A.Example.", "xn--bcher-kva.example", "my_own.a1.example", "engine"])
def test_a_name_is_taken_as_it_is_and_looked_at_when_a_connection_is_made(host: str) -> None:
    assert check_url(f"https://{host}:8443/v1") == f"https://{host}:8443"


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


@pytest.mark.parametrize("host", ["127.0.0.1", "①②⑦.0.0.1", "127。0。0。1", "2130706433", "127.1", "[::1]"])
async def test_no_connection_is_made_to_an_address_inside_for_which_a_client_asks_no_resolver(host: str) -> None:
    connected = asyncio.Event()

    def met(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        writer.close()

    server = await asyncio.start_server(met, "localhost", 0)
    port = server.sockets[0].getsockname()[1]
    connector = aiohttp.TCPConnector(resolver=CheckedResolver(), socket_factory=checked_sockets())
    async with server, aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"http://{host}:{port}/")
        assert not connected.is_set()
