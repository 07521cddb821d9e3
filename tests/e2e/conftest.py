"""The stack as a user starts it: `atrium up`, real vLLM and all, once for the session."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from cli.local.ports import PortClaims
from cli.local.run_state import RunState

ATRIUM = Path(sys.executable).with_name("atrium")


@dataclass(frozen=True)
class Running:
    url: str
    engine: str
    data_dir: Path
    said: str

    def client(self, tenant: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"x-tenant-id": tenant}, timeout=120)

    def atrium(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ATRIUM, *arguments, "--data-dir", str(self.data_dir)],
            check=False,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def engine_metric(self, name: str) -> float:
        """The sum of a metric of vLLM's own over its label values."""
        lines = httpx.get(f"{self.engine}/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data_dir = tmp_path_factory.mktemp("e2e") / "data"
    claims = PortClaims()
    port = claims.prefer(28_080)
    claims.release()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ATRIUM_", "VLLM_"))}
    command = [ATRIUM, "up", "--detach", f"--port={port}", f"--data-dir={data_dir}"]
    try:
        up = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=420)
        logs = "".join(f"\n{path}\n{path.read_text()[-1500:]}" for path in data_dir.glob("logs/*.log"))
        assert up.returncode == 0, up.stdout + up.stderr + logs
        state = RunState.read(data_dir / "run.json")
        assert state is not None
        yield Running(state.router_url, state.services["vllm"].url, data_dir, up.stdout)
    finally:
        subprocess.run([ATRIUM, "down", f"--data-dir={data_dir}"], timeout=120, check=False)
