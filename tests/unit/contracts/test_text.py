"""Text and metadata that a store could not keep are refused at the door."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from contracts.retrieval import Metadata, Title

METADATA: TypeAdapter[dict[str, Any]] = TypeAdapter(Metadata)


@pytest.mark.parametrize(
    "value",
    [
        "a\x00",
        "\ud800",
        float("nan"),
        float("inf"),
        ["ok", "\udfff"],
        {"a\x00": 1},
        {"a": [{"b": float("-inf")}]},
        json.loads("[" * 30 + "]" * 30),
    ],
)
def test_what_postgresql_cannot_hold_is_refused_however_deep(value: Any) -> None:
    with pytest.raises(ValidationError):
        METADATA.validate_python({"key": value})


@pytest.mark.parametrize("value", ["", "äöü \U0001f600 \u200d", 1, 1.5, True, None, [1, ["x"]], {"a": {"b": "c"}}])
def test_everything_else_is_kept_as_it_is(value: Any) -> None:
    assert METADATA.validate_python({"key": value}) == {"key": value}


@pytest.mark.parametrize("title", ["", "  ", "a\x00b", "x" * 301])
def test_a_title_is_short_storable_text(title: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Title).validate_python(title)
