"""JSON schemas that a client sends: an engine makes a grammar of them, which must neither take long nor break it.

The bounds are on what such a compiler multiplies, recurses over or unrolls; what a schema means is not looked at. The
numbers come from xgrammar as vLLM 0.32 has it, on a busy core: 8 s for each `maxLength` of its own, whatever its value;
30 s for 1,300 optional properties, and six times as much for twice as many; 35 s for sixty constants of 3,000 letters;
15 s for the pattern `(\\w{1,100}\\.){1,50}`. A schema of which no grammar is made, as of a tool that the model may call
or not, is text in a prompt: there only its form is bounded.
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
MAX_PROPERTIES = 100
"""Of one object."""
MAX_LENGTHS, SMALL_LENGTH = 4, 16
"""How many different lengths of strings may be asked for, those up to sixteen aside."""
MAX_PATTERNS, MAX_PATTERN_CHARS, MAX_PROGRAM = 8, 512, 1_000
"""In a request, and of each; the last is in RE2's instructions, of all together."""
MAX_CONSTANT_CHARS = 256
MAX_INTEGER = 2**53

_LENGTHS = frozenset({"minLength", "maxLength"})
_REPEATS = _LENGTHS | {"minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains"}
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
_IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")
"""Applied to the same value: round in a circle over these, nothing is ever read."""
_LOOK_AROUND = re.compile(r"\(\?<?[=!]")
_UNICODE_CLASSES = re.compile(r"\\p", re.IGNORECASE)


class UnusableSchemaError(ValueError):
    """The message says why."""


class SchemaBounds:
    """Of one request. `check` each of its schemas, which are values as JSON has them."""

    def __init__(self) -> None:
        self._nodes = 0
        self._grammar = _GrammarBounds()

    def check(self, schema: dict[str, Any], *, grammar: bool) -> None:
        """`grammar`: one is made of it. Raises UnusableSchemaError. Linear in the schema, however deep it is."""
        for name, value, depth in _walk(schema):
            self._nodes += 1
            if depth > MAX_DEPTH:
                raise UnusableSchemaError(f"nested deeper than {MAX_DEPTH}")
            if self._nodes > MAX_NODES:
                raise UnusableSchemaError(f"the schemas have more than {MAX_NODES} values")
            _check_scalar(value)
            if name in _REPEATS and isinstance(value, int | float) and not 0 <= value <= MAX_REPEATED:
                raise UnusableSchemaError(f"{name} is more than {MAX_REPEATED}")
            if grammar:
                self._grammar.check(name, value)
        _check_circles(schema)


class _GrammarBounds:
    """What each keyword may ask for, in all schemas of a request. A property may have a keyword's name: its value is
    then a schema, and not of the keyword's type."""

    def __init__(self) -> None:
        self._lengths: set[float] = set()
        self._patterns = self._program = 0

    def check(self, name: str, value: Any) -> None:
        if name in _LENGTHS and isinstance(value, int | float) and value > SMALL_LENGTH:
            self._lengths.add(value)
            if len(self._lengths) > MAX_LENGTHS:
                raise UnusableSchemaError(f"the schemas have more than {MAX_LENGTHS} different {name} and the like")
        elif name == "properties" and isinstance(value, dict) and len(value) > MAX_PROPERTIES:
            raise UnusableSchemaError(f"an object has more than {MAX_PROPERTIES} properties")
        elif name == "pattern" and isinstance(value, str):
            self._check_pattern(value)
        elif name == "patternProperties" and isinstance(value, dict):
            for pattern in value:
                self._check_pattern(pattern)
        elif name in {"const", "enum"}:
            for constant in value if isinstance(value, list) else (value,):
                if isinstance(constant, str) and len(constant) > MAX_CONSTANT_CHARS:
                    raise UnusableSchemaError(f"a constant has at most {MAX_CONSTANT_CHARS} characters")

    def _check_pattern(self, pattern: str) -> None:
        self._patterns += 1
        if self._patterns > MAX_PATTERNS:
            raise UnusableSchemaError(f"the schemas have more than {MAX_PATTERNS} patterns")
        if len(pattern) > MAX_PATTERN_CHARS or len(_UNICODE_CLASSES.findall(pattern)) > 2:
            raise UnusableSchemaError(f"a pattern has at most {MAX_PATTERN_CHARS} characters and two Unicode classes")
        try:
            self._program += expression(0, _LOOK_AROUND.sub("(?:", pattern) or "^").weight
        except InvalidPatternError as error:
            raise UnusableSchemaError(f"a pattern cannot be used: {error}") from None
        if self._program > MAX_PROGRAM:
            raise UnusableSchemaError(f"the patterns are too large: {MAX_PROGRAM} instructions together are allowed")


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


def _check_circles(schema: dict[str, Any]) -> None:
    """Each reference leads to a part of the schema, and none, over whatever is applied in place, back to where it came
    from. Depth first without recursion: a part is `open` until all that it applies has been looked at."""
    done: set[int] = set()
    for _, part, _ in _walk(schema):
        if not isinstance(part, dict) or id(part) in done:
            continue
        path, opened = [(id(part), _applied(schema, part))], {id(part)}
        while path:
            key, left = path[-1]
            further = next(left, None)
            if further is None:
                path.pop()
                opened.discard(key)
                done.add(key)
            elif id(further) in opened:
                raise UnusableSchemaError("a $ref, or what is applied with it, leads round in a circle")
            elif id(further) not in done:
                path.append((id(further), _applied(schema, further)))
                opened.add(id(further))


def _applied(schema: dict[str, Any], part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What is applied to the same value as this part."""
    for name in _REFERENCES & part.keys():
        if isinstance(part[name], str):
            yield from _schemas(_at(schema, name, part[name]))
    for name in _IN_PLACE:
        yield from _schemas(part.get(name))


def _schemas(value: Any) -> Iterator[dict[str, Any]]:
    for one in value if isinstance(value, list) else (value,):
        if isinstance(one, dict):
            yield one


def _at(schema: dict[str, Any], name: str, reference: str) -> Any:
    """Where a JSON pointer leads. Nothing is fetched from anywhere else."""
    found: Any = schema
    if reference != "#" and not reference.startswith("#/"):
        found = None
    for part in reference.removeprefix("#").split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(key)
        elif isinstance(found, list) and key.isascii() and key.isdecimal() and int(key[:6]) < len(found):
            found = found[int(key[:6])]
        else:
            found = None
    if not isinstance(found, dict | bool):
        raise UnusableSchemaError(f"{name} must lead to a part of the same schema, such as #/$defs/Part")
    return found
