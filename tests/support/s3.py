"""An S3 API over a loopback socket: moto, in a process of its own, in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROGRAM = Path(__file__).with_name("s3_process.py")


@contextmanager
def running_s3(log: Path, **environment: str) -> Iterator[str]:
    """The endpoint's URL. What moto says goes to `log`; `environment` are settings of moto's."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, _PROGRAM],
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            env={**os.environ, **environment},
        )
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip()  # ends with the process, if that does not come up
        if not port:
            raise RuntimeError(f"moto did not start:\n{log.read_text(errors='replace')[-4000:]}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()  # it holds nothing worth a farewell
        process.wait()
        process.stdout.close()
