"""Schemas that a client sends: what a grammar's compiler would multiply, recurse over or unroll is bounded."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from router.domain.openai_schemas import (
    MAX_DEPTH,
    MAX_LENGTHS,
    MAX_NODES,
    MAX_PROPERTIES,
    SchemaBounds,
    UnusableSchemaError,
)


def check(schema: dict[str, Any], *, grammar: bool = True) -> None:
    SchemaBounds().check(schema, grammar=grammar)


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


class Node(BaseModel):
    """A name, and nodes below it."""

    name: str = Field(min_length=1, max_length=4_000, pattern=r"^[A-Za-z]\w{0,30}$")
    children: list[Node] = []
    parent: Node | None = None


@pytest.mark.parametrize(
    "schema",
    [
        Node.model_json_schema(),
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"type": "string"}}},
        {"properties": {"pattern": {"type": "string"}, "$ref": {"type": "string"}, "maxItems": {"type": "integer"}}},
        {"pattern": r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"},
        {"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"type": "null"}]},
        nested(MAX_DEPTH),
        {"anyOf": [{"maxLength": at} for at in range(17)] + [{"maxLength": 100}] * 50},
        {"$defs": {f"d{at}": {"allOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 2} for at in range(60)} | {"d60": {}}},
    ],
)
def test_what_clients_make_of_their_types_is_taken(schema: dict[str, Any]) -> None:
    check(schema)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (nested(MAX_DEPTH + 1), "nested deeper"),
        (nested(100_000), "nested deeper"),
        ({"enum": list(range(MAX_NODES + 1))}, "more than"),
        ({"maxItems": 10**9}, "maxItems"),
        ({"minLength": 1e300}, "minLength"),
        ({"pattern": r"(\w{1,100}\.){1,50}"}, "pattern"),
        ({"pattern": "("}, "pattern"),
        ({"pattern": "a" * 1_000}, "pattern"),
        ({"pattern": r"\pL\pN\pS"}, "pattern"),
        ({"patternProperties": {r"(a{100}){60}": {}}}, "pattern"),
        ({"allOf": [{"pattern": "a"}] * 9}, "patterns"),
        ({"allOf": [{"pattern": r"^(\w{1,10}\.){1,8}$"}] * 2}, "patterns are too large"),
        ({"anyOf": [{"maxLength": 100 + at} for at in range(MAX_LENGTHS + 1)]}, "maxLength"),
        ({"properties": {f"p{at}": {} for at in range(MAX_PROPERTIES + 1)}}, "properties"),
        ({"enum": ["x" * 300]}, "constant"),
        ({"const": "x" * 300}, "constant"),
        ({"$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}]}}, "$ref": "#/$defs/A"}, "circle"),
        ({"anyOf": [{"$ref": "#"}, {"type": "string"}]}, "circle"),
        ({"$defs": {"A": {"if": {"not": {"$ref": "#/$defs/A"}}}}}, "circle"),
        ({"$ref": "http://169.254.169.254/latest"}, "$ref"),
        ({"$ref": "file:///etc/passwd"}, "$ref"),
        ({"$ref": "#"}, "circle"),
        ({"$ref": "#/$defs/none"}, "$ref"),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}}, "circle"),
        ({"$ref": "#/enum/99999999999999999999", "enum": [1]}, "$ref"),
        ({"const": 10**400}, "integer"),
        ({"const": float("nan")}, "finite"),
        ({"const": "\0"}, "NUL"),
        ({"\ud800": 1}, "surrogate"),
    ],
)
def test_what_would_take_long_or_lead_elsewhere_is_refused(schema: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnusableSchemaError, match=reason.replace("$", r"\$")):
        check(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {f"p{at}": {"maxLength": 100 + at} for at in range(500)}},
        {"pattern": r"(\w{1,100}\.){1,50}"},
        {"const": "x" * 3_000},
    ],
)
def test_of_a_tool_that_need_not_be_called_no_grammar_is_made(schema: dict[str, Any]) -> None:
    check(schema, grammar=False)


def test_the_bounds_are_of_a_request_and_not_of_each_schema() -> None:
    bounds = SchemaBounds()
    half = {"enum": list(range(MAX_NODES // 2))}
    bounds.check(half, grammar=True)
    with pytest.raises(UnusableSchemaError):
        bounds.check(half, grammar=True)


_KEYS = st.sampled_from(["$ref", "pattern", "patternProperties", "maxItems", "items", "a"]) | st.text(max_size=3)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["#", "#/a", "(a|b)*"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_any_schema_is_taken_or_refused(schema: dict[str, Any]) -> None:
    with suppress(UnusableSchemaError):
        check(schema)
