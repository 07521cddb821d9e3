"""The `atrium` command as its entry point runs it, in this process."""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from cli.main import main


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def run_atrium(*arguments: str, stdin: str = "", **environment: str) -> Done:
    """What it says goes to no terminal; of this machine's own ATRIUM_ settings it sees those that are given only."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    others = {name: value for name, value in os.environ.items() if not name.startswith("ATRIUM_")}
    with (
        patch("sys.argv", ["atrium", *arguments]),
        patch("sys.stdin", io.StringIO(stdin)),
        patch.dict("os.environ", others | environment, clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
    return Done(code, _text(out), _text(err))


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode("utf-8", "replace")
