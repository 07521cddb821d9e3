"""The texts of a completions request: strings, or lists of parts that are text."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, StringConstraints

from contracts.chat import MAX_QUERY_CHARS
from contracts.text import Storable

MAX_PARTS = 256
_PARTS = {"text": "text", "refusal": "refusal"}
"""The kinds of parts that are text, and where it stands in each."""


def _joined(value: Any) -> Any:
    """Parts stand on lines of their own, as vLLM puts them together: what is judged is what the model is told."""
    if not isinstance(value, list):
        return value
    if len(value) > MAX_PARTS:
        raise ValueError(f"more than {MAX_PARTS} parts")
    return "\n".join(map(_part, value))


def _part(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    field = _PARTS.get(kind) if isinstance(kind, str) else None
    if field is None:
        raise ValueError("a content is a text, or a list of parts of the type `text`: no other is supported here")
    text = value.get(field)
    if set(value) != {"type", field} or not isinstance(text, str):
        raise ValueError(f"a part of the type `{kind}` has a `{field}`, which is a string, and nothing else")
    return text


Text = Annotated[str, StringConstraints(max_length=MAX_QUERY_CHARS), Storable]
Content = Annotated[Text | None, BeforeValidator(_joined)]
