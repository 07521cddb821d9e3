"""A garbage collection stops every thread, and so every stream: it is kept short. In a process of its own."""

from __future__ import annotations

from pathlib import Path

import httpx

from support.service_process import ServiceProcess


def test_what_a_service_has_made_by_its_start_is_not_walked_again_and_again(tmp_path: Path) -> None:
    process = ServiceProcess(["-m", "support.slow_service"], "SLOW_PORT", tmp_path / "log", PYTHONPATH="src:tests")
    try:
        process.wait()
        found = httpx.get(f"{process.url}/objects", timeout=5).raise_for_status().json()
    finally:
        process.close()
    assert found["left_alone"] > 10 * found["walked"]
    assert found["look_alikes_read"], "or the first text beyond ASCII stops all streams for as long"
