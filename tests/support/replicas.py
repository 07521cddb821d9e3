"""Routers as processes of their own, over the stores and services of the test stack."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from support.server import free_port
from support.stack import Stack

START_TIMEOUT_S = 60.0


@contextmanager
def router_processes(
    stack: Stack,
    redis_url: str,
    count: int,
    log_dir: Path,
    *,
    on_start: Callable[[subprocess.Popen[bytes]], object] = lambda _: None,
    **settings: str,
) -> Iterator[list[str]]:
    """The base URLs of `count` routers that answer. `on_start` is given each process."""
    values = {
        "DATABASE_URL": stack.database_url,
        "REDIS_URL": redis_url,
        "ORCHESTRATOR_URL": stack.orchestrator,
        "RAG_SERVICE_URL": stack.rag,
        "SERVICE_SIGNING_KEY": stack.signing_key,
        "AUTH_MODE": "header,api_key",
        "HEADER_ROLE": "tenant_admin",
        **settings,
    }
    with ExitStack() as running:
        urls = []
        for number in range(count):
            port = free_port()
            log = running.enter_context((log_dir / f"router-{number}.log").open("wb"))
            process = subprocess.Popen(
                [sys.executable, "-m", "router"],
                env={**os.environ, **values, "ROUTER_PORT": str(port)},
                stdout=log,
                stderr=log,
            )
            running.callback(_end, process)
            on_start(process)
            urls.append(f"http://127.0.0.1:{port}")
        for url in urls:
            _wait(url, log_dir)
        yield urls


def _wait(url: str, log_dir: Path) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            httpx.get(f"{url}/healthz", timeout=1).raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > until:
                logs = "\n".join(path.read_text(errors="replace")[-2_000:] for path in log_dir.glob("router-*.log"))
                raise RuntimeError(f"the router did not start:\n{logs}") from None
            time.sleep(0.05)
        else:
            return


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
