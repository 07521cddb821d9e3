"""Regular expressions of many rules, in time linear in the text (RE2), several of them in one pass (RE2's sets)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import re2

from guard.canonical import Canonical
from guard.expression_filter import ExpressionFilter

MAX_PROGRAM = 6_000
"""Instructions of one expression. `.{0,200}` between two words has 1,800, two thousand letters as many; in the worst
case RE2 takes a nanosecond or two for each of them and each byte of the text."""
MAX_UNICODE_CLASSES = 24
"""`\\p` in one expression: reading each takes a tenth of a millisecond, in which no other thread runs."""
MAX_PATTERN_CHARS = 2_000
MAX_WIDTH = 256
"""Canonical characters of an answer that an expression may match: what is longer is not seen in a stream."""
_REGEX_MEMORY, _STORED_MEMORY = 128 << 10, 1 << 20
"""Bytes that one compiled expression and what it remembers of texts may use; and one stored by an earlier release."""
_SET_PROGRAM, _SET_MEMORY = 6_000, 4 << 20
"""Instructions of a set, so that one pass over a long prompt ends soon, and bytes that it may use."""
_FILTERED, _FILTERED_PROGRAM = 500, 36_000
"""Expressions that one filter stands before, and their instructions. To make it takes 8 microseconds for each of them,
in which no other thread runs."""
_FEW = 2
"""Expressions of a set that are asked alone rather than all of it."""
_REPLACED_WEIGHT = 100
"""Of an expression whose every match is replaced: each takes a microsecond, but few characters are one."""
_ALWAYS = r"\A"
"""First of each set: RE2 says "nothing" of a text for which its memory did not suffice, then also of this."""


class InvalidPatternError(ValueError):
    """The pattern cannot be used. The message says why."""


@dataclass(frozen=True, slots=True)
class Expression:
    """`weight`: its instructions, which is the work for each byte of a text at worst, in nanoseconds."""

    rank: int
    redacts: bool
    compiled: Any
    weight: int

    def occurs(self, text: str, start: int = 0, end: int | None = None) -> bool:
        return self.compiled.search(text, start, end) is not None

    def occurs_in(self, encoded: bytes) -> bool:
        """The same of a whole text in UTF-8."""
        return self.compiled.search(encoded) is not None

    def spans(self, text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """Of all that it matches there and is not empty. Beyond the ends the text goes on: `$` and `\\b` know."""
        for found in self.compiled.finditer(text, start, end):
            first, last = found.span()
            if last > first:
                yield first, last


def expression(rank: int, pattern: str, *, redacts: bool = False, stored: bool = False) -> Expression:
    """Raises InvalidPatternError when the pattern is empty, not RE2 syntax or too large; `stored`: one that was
    accepted once is only refused where it cannot be used at all.

    Not for an event loop: it may take some milliseconds.
    """
    if not pattern:
        raise InvalidPatternError("the pattern is empty")
    if not stored and pattern.lower().count("\\p") > MAX_UNICODE_CLASSES:
        raise InvalidPatternError(f"names more than {MAX_UNICODE_CLASSES} Unicode classes")
    try:
        compiled = re2.compile(pattern, _options(_STORED_MEMORY if stored else _REGEX_MEMORY))
    except re2.error as error:
        reason = error.args[0] if error.args else "unknown"
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise InvalidPatternError(f"not a valid RE2 expression: {text}") from error
    if compiled.programsize > MAX_PROGRAM and not stored:
        raise InvalidPatternError(f"too large: {compiled.programsize} instructions, {MAX_PROGRAM} are allowed")
    return Expression(rank, redacts, compiled, max(1, compiled.programsize))


class Expressions:
    """Immutable, made once for all requests under a config version."""

    def __init__(self, expressions: Sequence[Expression]) -> None:
        self._filtered = tuple(_Filtered(part) for part in _parts(expressions, _FILTERED_PROGRAM, _FILTERED))
        self.any = bool(expressions)
        self.weight = sum(one.weight + _REPLACED_WEIGHT * one.redacts for one in expressions)
        self.sees_case = any(_CASE.search(one.compiled.pattern) for one in expressions)
        """Whether any may ask for case, so that what is written in capitals must be looked at as it is written."""

    def passes(self, text: str) -> Iterator[list[Expression]]:
        """The expressions that may occur in a text, set by set."""
        encoded = text.encode("utf-8", "surrogatepass")
        for one in self._filtered:
            yield from one.matching(encoded)

    def forms(self, form: Canonical) -> list[str]:
        """The plain form, and the text as written where an expression could see a difference."""
        return [form.plain, form.text] if self.tell_apart(form.text, form.plain) else [form.plain]

    def tell_apart(self, written: str, plain: str) -> bool:
        """Whether any may see a difference between a text as written and its plain form. RE2 knows of each letter all
        that differ from it by case alone, in classes too."""
        if written == plain:
            return False
        return self.sees_case or written.lower() != plain or _KELVIN in written


class _Filtered:
    """Sets of expressions, of which those alone are asked that a filter cannot rule out."""

    def __init__(self, expressions: Sequence[Expression]) -> None:
        self._filter: ExpressionFilter | None = None
        self._places: list[int] = []
        """Of each expression: its place among the filter's."""
        if sum(one.weight for one in expressions) > _SET_PROGRAM:  # one set is as quick as a filter
            self._filter = ExpressionFilter([one.compiled.pattern for one in expressions])
            always = self._filter.possible(b"") or set()
            self._places = sorted(range(len(expressions)), key=lambda at: at not in always)
            expressions = [expressions[at] for at in self._places]
        self._sets = tuple(_Set(part) for part in _parts(expressions, _SET_PROGRAM, len(expressions)))

    def matching(self, encoded: bytes) -> Iterator[list[Expression]]:
        possible = self._filter.possible(encoded) if self._filter else None
        if possible is None:
            for one in self._sets:
                yield one.matching(encoded)
            return
        if not possible:
            return
        places = iter(self._places)
        for one in self._sets:
            among = [at for at, place in enumerate(islice(places, len(one))) if place in possible]
            if among:
                yield one.matching(encoded, among)


class _Set:
    def __init__(self, expressions: Sequence[Expression]) -> None:
        self._expressions = tuple(expressions)
        self._set: Any = None
        if len(expressions) > 1:
            whole = re2.Set.SearchSet(_options(_SET_MEMORY))
            whole.Add(_ALWAYS)
            for one in expressions:
                whole.Add(one.compiled.pattern)
            try:
                whole.Compile()
            except re2.error:
                return  # each is asked alone, which takes longer and says the same
            self._set = whole

    def __len__(self) -> int:
        return len(self._expressions)

    def matching(self, encoded: bytes, among: Sequence[int] | None = None) -> list[Expression]:
        """`among`: places of those that may occur, if that is known."""
        found = None
        if self._set is not None and (among is None or len(among) > _FEW):
            found = self._set.Match(encoded)
        if found is None or 0 not in found:
            asked = self._expressions if among is None else [self._expressions[at] for at in among]
            return [one for one in asked if one.occurs_in(encoded)]
        return [self._expressions[at - 1] for at in sorted(found) if at]


def _parts(expressions: Sequence[Expression], program: int, most: int) -> Iterator[Sequence[Expression]]:
    """Of no more than so many instructions and expressions, or of one."""
    part: list[Expression] = []
    weight = 0
    for one in expressions:
        if part and (weight + one.weight > program or len(part) == most):
            yield part
            part, weight = [], 0
        part.append(one)
        weight += one.weight
    if part:
        yield part


def _options(memory: int) -> re2.Options:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.never_capture = True  # only where it matches is asked
    options.max_mem = memory
    return options


_KELVIN = "\u212a"
"""The one letter beyond ASCII whose small form alone is in it: `\\w` and `\\b` tell them apart."""
_CASE = re.compile(r"\(\?[a-zA-Z]*-")
"""Flags that an expression takes back."""
_DIFFERENT = re.compile(r"\{,|\[\[|\[\^?\]|&&|\\[0-9xuUNkg]|\(\?[^:P]")
"""What Python reads in another way than RE2 does."""


def greatest_width(pattern: str) -> int:
    """Characters that a match has at most; MAX_WIDTH where that is more, or not known."""
    if _DIFFERENT.search(pattern):
        return MAX_WIDTH
    from re import _parser  # type: ignore[attr-defined]  # noqa: PLC0415  as `sre_parse`, which is deprecated

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            width = _parser.parse(pattern).getwidth()[1]
    except (re.error, OverflowError, RecursionError, Warning):
        return MAX_WIDTH
    return min(MAX_WIDTH, max(1, int(width)))
