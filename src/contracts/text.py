"""Text that every store can keep."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, JsonValue


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("text must not contain NUL")
    return text


def _storable_json(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        _storable(value)
    elif isinstance(value, list):
        for item in value:
            _storable_json(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _storable(key)
            _storable_json(item)
    return value


Storable = AfterValidator(_storable)
"""Refuses NUL, which PostgreSQL's text and jsonb cannot hold."""

StorableJson = Annotated[JsonValue, AfterValidator(_storable_json)]
