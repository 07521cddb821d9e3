"""A client that stops reading its stream, through the router and the orchestrator: cut off, billed, its place free."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

import app.main
import app.settings
from servicekit.tokens import load_signing_key, public_text
from support.server import served
from support.stack import Stack, another_router

WITHIN_S = 15.0
TOKENS = 4_000
LONG_TOKEN = "word" * 5_000
"""An answer of such tokens is 80 MB: more than all the sockets on the way hold."""
SLOW_S = 0.5


def wait_for(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.02)


@pytest.fixture(scope="module")
def router(stack: Stack, valkey_url: str) -> Iterator[str]:
    """One that waits for a reader half a second instead of thirty, before an orchestrator that gives long answers."""
    trusted = public_text(load_signing_key(stack.signing_key))
    settings = app.settings.Settings(
        rag_service_url=stack.rag,
        vllm_service_url=stack.engine,
        service_verify_keys=trusted,
        max_answer_tokens=TOKENS,
        engine_context_tokens=1_000_000,
    )
    stack.imitation.interval_s = 0.002  # an engine that is so quick that it is done before the cut proves nothing
    try:
        with served(app.main.create_app(settings)) as orchestrator:
            behind = replace(stack, orchestrator=orchestrator)
            changes = {"slow_reader_s": SLOW_S, "max_answer_tokens": TOKENS}
            with served(another_router(behind, valkey_url, **changes)) as url:
                yield url
    finally:
        stack.imitation.interval_s = 0.0


def stops_reading(router: str, tenant: str, path: str, body: dict[str, Any]) -> socket.socket:
    """The socket of a client that has read the head of its answer and no more."""
    address, sent = urlsplit(router), json.dumps(body)
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    reader.settimeout(WITHIN_S)
    reader.connect((address.hostname or "", address.port or 0))
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nx-tenant-id: {tenant}\r\ncontent-type: application/json\r\n"
    reader.sendall(f"{head}content-length: {len(sent)}\r\n\r\n{sent}".encode())
    assert reader.recv(12) == b"HTTP/1.1 200"
    return reader


def rest_of(reader: socket.socket) -> bytes:
    found = b""
    try:
        while received := reader.recv(1 << 20):
            found = (found + received)[-4_096:]
            if found.endswith(b"0\r\n\r\n"):
                break
    except ConnectionError:
        pass
    return found


def billed(stack: Stack, tenant: str) -> list[tuple[str, int]]:
    with psycopg.connect(stack.database_url) as connection:
        connection.execute("SELECT set_config('app.tenant_id', %s, true)", (tenant,))
        statement = "SELECT outcome, completion_tokens FROM usage_events WHERE state = 'settled' ORDER BY started_at"
        return [(str(outcome), int(tokens)) for outcome, tokens in connection.execute(statement).fetchall()]


CHAT = ("/chat", {"query": f"tokens:{TOKENS} {LONG_TOKEN}", "stream": True})
OPENAI = (
    "/v1/chat/completions",
    {"model": "atrium", "stream": True, "messages": [{"role": "user", "content": f"tokens:{TOKENS} {LONG_TOKEN}"}]},
)


@pytest.mark.parametrize(("path", "body"), [CHAT, OPENAI])
def test_who_stops_reading_is_cut_off_pays_for_what_was_generated_and_holds_nothing(
    stack: Stack, router: str, path: str, body: dict[str, Any]
) -> None:
    tenant = stack.new_tenant("slow", max_concurrent_requests=1)
    before = stack.engine_requests()
    with stops_reading(router, tenant, path, body):
        wait_for(lambda: stack.engine_requests() > before, "the engine is not asked")
        asked = stack.imitation.asked[before]
        wait_for(
            lambda: asked.disconnected,
            "the engine goes on",
        )
        wait_for(lambda: len(billed(stack, tenant)) == 1, "it is not settled")
        with httpx.Client(base_url=router, headers={"x-tenant-id": tenant}, timeout=30) as client:
            # The tenant's only place is free again while the socket is still open.
            assert client.post("/chat", json={"query": "tokens:3 hello"}).status_code == 200
    (outcome, tokens), _ = billed(stack, tenant)
    assert outcome == "error"
    assert 0 < tokens < TOKENS
    assert tokens <= asked.tokens_sent


def test_who_reads_on_within_two_seconds_is_told_why(stack: Stack, router: str) -> None:
    tenant = stack.new_tenant("slow")
    before = stack.engine_requests()
    with stops_reading(router, tenant, *CHAT) as reader:
        wait_for(lambda: stack.engine_requests() > before, "the engine is not asked")
        asked = stack.imitation.asked[before]
        wait_for(
            lambda: asked.disconnected,
            "the engine goes on",
        )
        last = rest_of(reader)
    assert b"event: error" in last
    assert b'"code":"slow_reader"' in last


def test_who_reads_slowly_but_reads_is_not_cut_off(stack: Stack, router: str) -> None:
    tenant = stack.new_tenant("slow")
    body = {"query": f"tokens:60 {LONG_TOKEN}", "stream": True}
    with stops_reading(router, tenant, "/chat", body) as reader:
        began, last = time.monotonic(), b""
        while received := reader.recv(16_384):
            last = (last + received)[-4_096:]
            if last.endswith(b"0\r\n\r\n"):
                break
            time.sleep(0.02)
        took = time.monotonic() - began
    assert took > 2 * SLOW_S, "it was read slowly"
    assert b"event: done" in last
