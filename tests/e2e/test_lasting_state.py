"""The real processes over one data directory: what was acknowledged outlives a kill and a new start.

The engine is the imitation: this is about our own state, and takes a quarter of the time.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli.local.ports import PortClaims
from cli.local.run_state import RunState
from e2e.conftest import ATRIUM
from support.imitation_engine import running_engine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

NOTE = "The copper lantern of the harbour shop costs 31.50 euros."


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with running_engine() as url:
        yield url


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("lasting") / "data"
    yield folder
    subprocess.run([ATRIUM, "down", f"--data-dir={folder}"], check=False, timeout=60)


def up(data_dir: Path, engine: str) -> RunState:
    claims = PortClaims()
    port = claims.prefer(28_081)
    claims.release()
    command = [ATRIUM, "up", "--detach", f"--data-dir={data_dir}", f"--vllm-url={engine}", f"--port={port}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    state = RunState.read(data_dir / "run.json")
    assert state is not None
    return state


def found(url: str) -> list[str]:
    body = {"query": "How much is the copper lantern?", "k": 1}
    answer = httpx.post(f"{url}/tenant/t1/search", json=body, headers={"x-tenant-id": "t1"}, timeout=30)
    return [passage["text"] for passage in answer.json()["passages"]]


def until(url: str, wanted: int) -> httpx.Response:
    """`/readyz`, once it answers with `wanted`."""
    end = time.monotonic() + 60
    while True:
        answer = httpx.get(f"{url}/readyz", timeout=5)
        if answer.status_code == wanted:
            return answer
        assert time.monotonic() < end, answer.text
        time.sleep(0.05)


def test_a_killed_part_is_named_and_comes_back_with_everything_that_was_acknowledged(
    data_dir: Path, engine: str
) -> None:
    state = up(data_dir, engine)
    document = {"title": "Lanterns", "text": NOTE, "document_id": "lantern"}
    written = httpx.post(
        f"{state.router_url}/tenant/t1/documents", json=document, headers={"x-tenant-id": "t1"}, timeout=30
    )
    assert written.status_code == 201
    for name in ("postgres", "rag", "valkey", "orchestrator"):
        record = state.services[name].process
        assert record is not None
        process = record.process()
        assert process is not None
        process.kill()
        assert until(state.router_url, 503).json()["dependencies"][name] == "down"
        until(state.router_url, 200)
        assert found(state.router_url) == [NOTE]


def test_a_second_start_finds_yesterdays_tenants_and_documents(data_dir: Path, engine: str) -> None:
    subprocess.run([ATRIUM, "down", f"--data-dir={data_dir}"], check=True, timeout=60)
    state = up(data_dir, engine)
    assert found(state.router_url) == [NOTE]
