"""JSON schemas that a client sends: an engine makes a grammar of them, which must neither take long nor break it.

The bounds are on what such compilers multiply, recurse over or unroll; what a schema means is not looked at. Measured
on xgrammar as vLLM 0.32 has it: of all that is within them a pattern of a thousand instructions takes longest, 0.2 s;
`(\\w{1,100}\\.){1,50}`, which is not, 15 s.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from guard.expressions import InvalidPatternError, expression

MAX_DEPTH = 32
MAX_NODES = 8_000
"""Values in all schemas of a request together."""
MAX_REPEATED = 10_000
"""What `maxItems` and its like may say."""
MAX_PATTERNS, MAX_PATTERN_CHARS, MAX_PROGRAM = 32, 512, 1_000
"""In a request, and of each: the last in RE2's instructions."""
MAX_INTEGER = 2**53

_REPEATS = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties", "minContains", "maxContains"}
)
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
_LOOK_AROUND = re.compile(r"\(\?<?[=!]")
_UNICODE_CLASSES = re.compile(r"\\p", re.IGNORECASE)


class UnusableSchemaError(ValueError):
    """The message says why."""


class SchemaBounds:
    """Of one request. `check` each of its schemas, which are values as JSON has them."""

    def __init__(self) -> None:
        self._nodes = 0
        self._patterns = 0

    def check(self, schema: dict[str, Any]) -> None:
        """Raises UnusableSchemaError. Linear in the schema, however deep it is."""
        for name, value, depth in _walk(schema):
            self._nodes += 1
            if depth > MAX_DEPTH:
                raise UnusableSchemaError(f"nested deeper than {MAX_DEPTH}")
            if self._nodes > MAX_NODES:
                raise UnusableSchemaError(f"the schemas have more than {MAX_NODES} values")
            _check_scalar(value)
            self._check_keyword(schema, name, value)

    def _check_keyword(self, schema: dict[str, Any], name: str, value: Any) -> None:
        """A property may have a keyword's name: its value is then a schema, and not of the keyword's type."""
        if name in _REPEATS and isinstance(value, int | float) and not 0 <= value <= MAX_REPEATED:
            raise UnusableSchemaError(f"{name} is more than {MAX_REPEATED}")
        if name in _REFERENCES and isinstance(value, str) and not _leads_to_a_schema(schema, value):
            raise UnusableSchemaError(f"{name} must lead to a part of the same schema, such as #/$defs/Part")
        if name == "pattern" and isinstance(value, str):
            self._check_pattern(value)
        if name == "patternProperties" and isinstance(value, dict):
            for pattern in value:
                self._check_pattern(pattern)

    def _check_pattern(self, pattern: str) -> None:
        self._patterns += 1
        if self._patterns > MAX_PATTERNS:
            raise UnusableSchemaError(f"the schemas have more than {MAX_PATTERNS} patterns")
        if len(pattern) > MAX_PATTERN_CHARS or len(_UNICODE_CLASSES.findall(pattern)) > 2:
            raise UnusableSchemaError(f"a pattern has at most {MAX_PATTERN_CHARS} characters and two Unicode classes")
        try:
            size = expression(0, _LOOK_AROUND.sub("(?:", pattern) or "^").weight
        except InvalidPatternError as error:
            raise UnusableSchemaError(f"a pattern cannot be used: {error}") from None
        if size > MAX_PROGRAM:
            raise UnusableSchemaError(f"a pattern is too large: {size} instructions, {MAX_PROGRAM} are allowed")


def _walk(schema: Any) -> Iterator[tuple[str, Any, int]]:
    """Every value with the name it stands under. Without recursion: it may be as deep as it likes."""
    waiting: list[tuple[str, Any, int]] = [("", schema, 0)]
    while waiting:
        name, value, depth = waiting.pop()
        yield name, value, depth
        if isinstance(value, dict):
            for key, item in value.items():
                _check_scalar(key)
                waiting.append((key, item, depth + 1))
        elif isinstance(value, list):
            waiting.extend(("", item, depth + 1) for item in value)


def _check_scalar(value: Any) -> None:
    if isinstance(value, str):
        if "\x00" in value or not _is_unicode(value):
            raise UnusableSchemaError("text must contain neither NUL nor half of a surrogate pair")
    elif isinstance(value, float) and not math.isfinite(value):
        raise UnusableSchemaError("a number must be finite")
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise UnusableSchemaError("an integer is at most 2^53")


def _is_unicode(text: str) -> bool:
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _leads_to_a_schema(schema: dict[str, Any], reference: str) -> bool:
    """By a JSON pointer, over other references if need be, but not round in a circle."""
    seen: set[str] = set()
    while reference not in seen:
        seen.add(reference)
        found = _at(schema, reference)
        if isinstance(found, bool):
            return True
        if not isinstance(found, dict):
            return False
        further = [found[name] for name in _REFERENCES & found.keys() if isinstance(found[name], str)]
        if not further:
            return True
        reference = further[0]
    return False


def _at(schema: dict[str, Any], reference: str) -> Any:
    """None where nothing is."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    found: Any = schema
    for part in reference.removeprefix("#").split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(key)
        elif isinstance(found, list) and key.isascii() and key.isdecimal() and int(key[:6]) < len(found):
            found = found[int(key[:6])]
        else:
            return None
    return found
