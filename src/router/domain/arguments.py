"""The arguments of a tool's call, which are JSON as a model or a client wrote it."""

from __future__ import annotations

from typing import Any

import orjson


def read(arguments: str) -> Any:
    """None also for what is no JSON."""
    try:
        return orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return None


def plainly(arguments: str) -> str | None:
    """With all characters written as they are. None for what is no JSON, or nested deeper than can be written."""
    value = read(arguments)
    try:
        return None if value is None else orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return None
