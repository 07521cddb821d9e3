"""The log of each child: appended to, put aside when it has grown, and its end shown when the child fails."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 8 * 1024 * 1024
_TAIL_BYTES = 32 * 1024
_MAX_LINE = 300


def open_log(path: Path) -> BinaryIO:
    """To append to. A log over the bound is kept once as `<name>.log.1`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > MAX_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return os.fdopen(descriptor, "ab")


def tail(path: Path, *, since: int = 0, lines: int = 12) -> list[str]:
    """The last lines written after the byte `since`; none where there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(max(since, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [_readable(line) for line in text.splitlines() if line.strip()][-lines:]


def _readable(line: str) -> str:
    """Our services log JSON: what happened, without the fields; anything else as it is."""
    try:
        entry = json.loads(line)
        said = f"{entry['level']}: {entry['message']}"
    except (ValueError, TypeError, KeyError):
        return line.rstrip()[:_MAX_LINE]
    exception = str(entry.get("exception", "")).strip().rpartition("\n")[2]
    return f"{said}: {exception}"[:_MAX_LINE] if exception else said[:_MAX_LINE]
