"""The stack as separate processes, in front of the imitation of an engine: what our own hops cost, without a model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
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
    """Everything is ended when this is left."""
    with tempfile.TemporaryDirectory(prefix="atrium-bench-") as folder:
        claims = PortClaims()
        engine_port, router_port = claims.prefer(18_100), claims.prefer(18_080)
        claims.release()
        engine = f"http://127.0.0.1:{engine_port}"
        process = subprocess.Popen(
            [
                sys.executable,
                str(ROOT / "tests" / "support" / "imitation_engine.py"),
                f"--port={engine_port}",
                f"--interval-ms={interval_ms}",
            ]
        )
        up = [str(ATRIUM), "up", "--detach", "--no-examples", f"--data-dir={folder}", f"--port={router_port}"]
        try:
            _wait_for(f"{engine}/health")
            environment = {**os.environ, "ATRIUM_BOOTSTRAP_KEY": PLATFORM_KEY}
            subprocess.run([*up, f"--vllm-url={engine}"], check=True, env=environment, stdout=subprocess.DEVNULL)
            yield Bench(f"http://127.0.0.1:{router_port}", engine, {**_services(Path(folder)), "engine": _own(process)})
        finally:
            subprocess.run([str(ATRIUM), "down", f"--data-dir={folder}"], check=False, stdout=subprocess.DEVNULL)
            process.terminate()
            process.wait(10)


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


def _wait_for(url: str) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310  our own loopback address
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
