"""Text that every store can keep."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import AfterValidator, JsonValue


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("text must not contain NUL")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("text must not contain half of a surrogate pair") from None
    return text


MAX_DEPTH = 20


def _check_json(value: JsonValue, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        _storable(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number must be finite")
    elif isinstance(value, list):
        for item in value:
            _check_json(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _storable(key)
            _check_json(item, depth + 1)


def _storable_json(value: JsonValue) -> JsonValue:
    _check_json(value, 0)
    return value


Storable = AfterValidator(_storable)
"""Refuses what PostgreSQL's text and jsonb cannot hold: NUL, and half of a surrogate pair."""

StorableJson = Annotated[JsonValue, AfterValidator(_storable_json)]
