"""The stack as separate processes, in front of the imitation of an engine: what our own hops cost, without a model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from cli.local.ports import PortClaims
from cli.local.run_state import RunState

ROOT = Path(__file__).parents[1]
ATRIUM = Path(sys.executable).with_name("atrium")
PLATFORM_KEY = "atr_platform-key-of-the-bench"


@dataclass(frozen=True)
class Bench:
    router: str
    engine: str
    processes: dict[str, psutil.Process]

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time so far of each service and its children, user and system."""
        return {name: _tree_cpu(process) for name, process in self.processes.items()}

    def call(self, method: str, path: str, body: object) -> None:
        request = urllib.request.Request(  # noqa: S310  our own loopback address
            self.router + path,
            method=method,
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json", "authorization": f"Bearer {PLATFORM_KEY}"},
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310  as above
            answer.read()


@contextmanager
def running_bench(*, interval_ms: float) -> Iterator[Bench]:
    """The stack in front of an imitation of an engine. Everything is ended when this is left."""
    with (
        running_engine(f"--interval-ms={interval_ms}") as (engine, process),
        running_stack(engine, process) as bench,
    ):
        yield bench


@contextmanager
def running_engine(*options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The imitation in a process of its own."""
    script = str(ROOT / "tests" / "support" / "imitation_engine.py")
    with running_server(lambda port: [sys.executable, script, f"--port={port}", *options]) as running:
        yield running


@contextmanager
def running_server(
    command: Callable[[int], list[str]], environment: Mapping[str, str] | None = None, *, within_s: float = 30
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """An engine of any kind on a free port, once it is healthy."""
    claims = PortClaims()
    port = claims.prefer(18_100)
    claims.release()
    url = f"http://127.0.0.1:{port}"
    with tempfile.NamedTemporaryFile(prefix="atrium-bench-engine-", suffix=".log") as log:
        variables = {**os.environ, **(environment or {})}
        process = subprocess.Popen(command(port), env=variables, stdout=log, stderr=log)
        try:
            try:
                wait_for(f"{url}/health", within_s)
            except OSError as error:
                raise RuntimeError(Path(log.name).read_text(errors="replace")[-4_000:]) from error
            yield url, process
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def running_stack(
    engine: str, process: subprocess.Popen[bytes], environment: Mapping[str, str] | None = None
) -> Iterator[Bench]:
    """What `atrium up` starts in front of an engine that runs already."""
    with tempfile.TemporaryDirectory(prefix="atrium-bench-") as folder:
        claims = PortClaims()
        router_port = claims.prefer(18_080)
        claims.release()
        up = [str(ATRIUM), "up", "--detach", "--no-examples", f"--data-dir={folder}", f"--port={router_port}"]
        variables = {**os.environ, **(environment or {}), "ATRIUM_BOOTSTRAP_KEY": PLATFORM_KEY}
        try:
            subprocess.run([*up, f"--vllm-url={engine}"], check=True, env=variables, stdout=subprocess.DEVNULL)
            yield Bench(f"http://127.0.0.1:{router_port}", engine, {**_services(Path(folder)), "engine": _own(process)})
        finally:
            subprocess.run([str(ATRIUM), "down", f"--data-dir={folder}"], check=False, stdout=subprocess.DEVNULL)


def _services(data_dir: Path) -> dict[str, psutil.Process]:
    state = RunState.read(data_dir / "run.json")
    if state is None:
        raise RuntimeError("the stack left no run.json")
    found = {name: record.process.process() for name, record in state.services.items() if record.process}
    return {name: process for name, process in found.items() if process is not None}


def _own(process: subprocess.Popen[bytes]) -> psutil.Process:
    return psutil.Process(process.pid)


def _tree_cpu(process: psutil.Process) -> float:
    total = 0.0
    for member in (process, *process.children(recursive=True)):
        try:
            times = member.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def wait_for(url: str, within_s: float) -> None:
    until = time.monotonic() + within_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310  our own loopback address
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
