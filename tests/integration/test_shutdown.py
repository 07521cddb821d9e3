"""A service that is told to end (SIGTERM) ends what it answers first: over real sockets, in a process of its own."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from support.replicas import router_processes
from support.service_process import ServiceProcess
from support.slow_service import PIECE_S
from support.stack import Stack


@contextmanager
def slow_service(log: Path, **settings: str) -> Iterator[ServiceProcess]:
    process = ServiceProcess(["-m", "support.slow_service"], "SLOW_PORT", log, PYTHONPATH="src:tests", **settings)
    try:
        process.wait()
        yield process
    finally:
        process.close()


def test_a_stream_in_flight_is_sent_to_its_end(tmp_path: Path) -> None:
    with (
        slow_service(tmp_path / "log", SHUTDOWN_GRACE_S="30") as service,
        httpx.stream("GET", f"{service.url}/stream/30", timeout=10) as answer,
    ):
        pieces = answer.iter_lines()
        next(pieces)
        service.terminate()
        assert [int(piece) for piece in pieces] == list(range(1, 30))
        service.ended_within(5)


def test_a_stream_that_takes_longer_than_the_grace_is_cut_and_does_not_look_whole(tmp_path: Path) -> None:
    with (
        slow_service(tmp_path / "log", SHUTDOWN_GRACE_S="1") as service,
        httpx.stream("GET", f"{service.url}/stream/{int(60 / PIECE_S)}", timeout=10) as answer,
    ):
        pieces = answer.iter_lines()
        next(pieces)
        service.terminate()
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)
        service.ended_within(5)


def test_who_keeps_connections_open_is_still_answered_and_told_to_close_them(tmp_path: Path) -> None:
    """Else the next request on a connection that is being closed would be lost."""
    with (
        slow_service(tmp_path / "log", SHUTDOWN_LINGER_S="20") as service,
        httpx.Client(base_url=service.url, timeout=5) as kept,
    ):
        assert "connection" not in kept.get("/healthz").headers
        service.terminate()
        until = time.monotonic() + 10
        while (answer := kept.get("/healthz")).headers.get("connection") != "close":
            assert answer.status_code == 200
            assert time.monotonic() < until, "the service never said that it ends"
        assert answer.status_code == 200
        assert httpx.get(f"{service.url}/healthz").headers["connection"] == "close"
        service.kill()  # it would linger for long, so that a slow machine sees the same


def test_listening_ends_after_the_linger(tmp_path: Path) -> None:
    with slow_service(tmp_path / "log", SHUTDOWN_LINGER_S="0.5") as service:
        service.terminate()
        service.ended_within(10)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{service.url}/healthz")


@pytest.fixture
def slow_engine(stack: Stack) -> Iterator[None]:
    before, stack.imitation.interval_s = stack.imitation.interval_s, 0.1
    yield
    stack.imitation.interval_s = before


@pytest.mark.usefixtures("slow_engine")
def test_a_router_that_is_told_to_end_ends_its_answer_and_bills_it(
    stack: Stack, valkey_url: str, tmp_path: Path
) -> None:
    tenant, started = stack.new_tenant(), []
    body = {"query": "how are you today", "stream": True}
    with router_processes(
        stack, valkey_url, 1, tmp_path, on_start=started.append, SHUTDOWN_GRACE_S="60", SHUTDOWN_LINGER_S="1"
    ) as (url,):
        with httpx.stream("POST", f"{url}/chat", json=body, headers={"x-tenant-id": tenant}, timeout=60) as answer:
            lines = answer.iter_lines()
            assert next(line for line in lines if line == "event: token")
            started[0].send_signal(signal.SIGTERM)
            events = [line for line in lines if line.startswith("event:")]
        assert events[-1] == "event: done"
        started[0].wait(30)
    with stack.client(tenant) as client:
        assert client.get(f"/tenant/{tenant}/usage").json()["total"]["completion_tokens"] > 0
