"""A stream that has to wait for its place in the engine begins at once, and tells its position in line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

import app.main
import app.settings
from servicekit.tokens import load_signing_key, public_text
from support.server import served
from support.stack import Stack, another_router


@pytest.fixture(scope="module")
def narrow(stack: Stack, valkey_url: str) -> Iterator[Stack]:
    """The same stack with an engine pool that has one place."""
    settings = app.settings.Settings(
        rag_service_url=stack.rag,
        vllm_service_url=stack.engine,
        service_verify_keys=public_text(load_signing_key(stack.signing_key)),
        engine_max_seqs=1,
    )
    with ExitStack() as running:
        behind = replace(stack, orchestrator=running.enter_context(served(app.main.create_app(settings))))
        yield replace(behind, router=running.enter_context(served(another_router(behind, valkey_url))))


@contextmanager
def stream(stack: Stack, tenant: str, query: str) -> Iterator[Iterator[str]]:
    with (
        stack.client(tenant) as client,
        client.stream("POST", "/chat", json={"query": query, "stream": True}) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        yield answer.iter_lines()


def until(lines: Iterator[str], wanted: str) -> list[str]:
    """The lines up to one that begins so."""
    seen = []
    for line in lines:
        seen.append(line)
        if line.startswith(wanted):
            return seen
    raise AssertionError(f"{wanted!r} never came: {seen}")


def narrowed(stack: Stack) -> None:
    """The router has heard how small the pool is."""
    tenant, deadline = stack.new_tenant("narrow"), time.monotonic() + 5
    with stream(stack, tenant, "fault:stall please") as held:
        until(held, "event: token")
        while time.monotonic() < deadline:
            with stream(stack, tenant, "tokens:1 hi") as second:
                if next(second).startswith(": queued"):
                    return
    raise AssertionError("the pool is still as wide as it was")


def test_those_who_wait_are_told_where_they_stand(narrow: Stack) -> None:
    narrowed(narrow)
    tenant = narrow.new_tenant("line")
    with ExitStack() as open_streams:
        holding = open_streams.enter_context(ExitStack())
        held = holding.enter_context(stream(narrow, tenant, "fault:stall please"))
        until(held, "event: token")
        second = open_streams.enter_context(stream(narrow, tenant, "tokens:2 second"))
        assert next(second) == ": queued, position 1"
        third = open_streams.enter_context(stream(narrow, tenant, "tokens:2 third"))
        assert next(third) == ": queued, position 2"
        holding.close()
        rest = until(second, "event: done")
        assert "event: meta" in rest
        assert "event: token" in rest
        assert "event: usage" in rest
        assert "event: done" in until(third, "event: done")


def test_who_leaves_the_line_is_not_waited_for(narrow: Stack) -> None:
    narrowed(narrow)
    tenant = narrow.new_tenant("line")
    asked = narrow.engine_requests()
    with stream(narrow, tenant, "fault:stall please") as held:
        until(held, "event: token")
        with stream(narrow, tenant, "tokens:2 gives up") as second:
            assert next(second) == ": queued, position 1"
        with stream(narrow, tenant, "tokens:2 third") as third:
            assert next(third) == ": queued, position 1"
    assert narrow.engine_requests() == asked + 1
