"""A client that goes away stops the work, whatever it was waiting for, within a second."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from support.sse import events
from support.stack import Stack


def within_a_second(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 1
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def test_leaving_a_stream_midway_closes_the_engines_connection(stack: Stack) -> None:
    tenant = stack.new_tenant()
    body = {"query": "fault:stall please", "stream": True}
    with stack.client(tenant) as client, client.stream("POST", "/chat", json=body) as answer:
        coming = events(answer)  # kept: when this is dropped, the connection is closed
        while next(coming)[0] != "token":
            pass
        asked = stack.imitation.asked[-1]
        assert not asked.disconnected
    assert within_a_second(lambda: asked.disconnected)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["fault:hang-before-headers", "fault:hang"])
def test_leaving_before_the_first_token_closes_it_as_well(stack: Stack, fault: str, stream: bool) -> None:
    tenant = stack.new_tenant()
    address = urlsplit(stack.router)
    before = stack.engine_requests()
    body = f'{{"query": "{fault}", "stream": {str(stream).lower()}}}'
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        head = f"POST /chat HTTP/1.1\r\nhost: x\r\nx-tenant-id: {tenant}\r\ncontent-type: application/json\r\n"
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
        until = time.monotonic() + 10
        while stack.engine_requests() == before:
            assert time.monotonic() < until, "the request never reached the engine"
            time.sleep(0.01)
        asked = stack.imitation.asked[-1]
    assert within_a_second(lambda: asked.disconnected)
