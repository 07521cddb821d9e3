"""Text patterns that a tenant may write, matched in time linear in the text (RE2)."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import re2

MAX_PROGRAM = 6_000
"""Instructions of one expression. `.{0,200}` between two words has 1,800, two thousand letters as many; in the worst
case RE2 takes a nanosecond or two for each of them and each byte of the text."""
MAX_UNICODE_CLASSES = 24
"""`\\p` in one expression: reading each takes a tenth of a millisecond, in which no other thread runs."""
_REGEX_MEMORY, _STORED_MEMORY = 128 << 10, 1 << 20
"""Bytes that one compiled expression and what it remembers of texts may use; and one stored by an earlier release."""
_WORD_WEIGHT = 50
"""A word that occurs everywhere is looked at by Python each time."""


class PatternType(StrEnum):
    CONTAINS = "contains"
    WORD = "word"
    REGEX = "regex"


class InvalidPatternError(ValueError):
    """The pattern cannot be used. The message says why."""


Matcher = Callable[[str], bool]
"""Takes canonical text and says whether the pattern occurs in it."""


@dataclass(frozen=True, slots=True)
class CompiledPattern:
    """`weight`: the work for each character of a text at worst, where 1 is about a nanosecond. Of an expression it is
    the number of its instructions."""

    matches: Matcher
    weight: int = 1


def canonical(text: str) -> str:
    """The form in which rules see text: compatibility-composed, case-folded, white space folded."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def compile_pattern(kind: PatternType, pattern: str, *, stored: bool = False) -> CompiledPattern:
    """Raises InvalidPatternError when the pattern is empty or, for a regex, not RE2 syntax or too large; `stored`: one
    that was accepted once is only refused where it cannot be used at all.

    Not for an event loop: a regex may take some milliseconds.
    """
    if kind is PatternType.REGEX:
        return _regex(pattern, stored=stored)
    literal = canonical(pattern)
    if not literal:
        raise InvalidPatternError("the pattern is empty")
    if kind is PatternType.WORD:
        return CompiledPattern(lambda text: _has_word(text, literal), _WORD_WEIGHT)
    return CompiledPattern(lambda text: literal in text)


def _regex(pattern: str, *, stored: bool) -> CompiledPattern:
    if not pattern:
        raise InvalidPatternError("the pattern is empty")
    if not stored and pattern.lower().count("\\p") > MAX_UNICODE_CLASSES:
        raise InvalidPatternError(f"names more than {MAX_UNICODE_CLASSES} Unicode classes")
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.never_capture = True  # only whether it matches is asked
    options.max_mem = _STORED_MEMORY if stored else _REGEX_MEMORY
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "unknown"
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise InvalidPatternError(f"not a valid RE2 expression: {text}") from error
    if compiled.programsize > MAX_PROGRAM and not stored:
        raise InvalidPatternError(f"too large: {compiled.programsize} instructions, {MAX_PROGRAM} are allowed")
    return CompiledPattern(lambda text: compiled.search(text) is not None, max(1, compiled.programsize))


def _has_word(text: str, word: str) -> bool:
    """Whether `word` occurs with no letter, digit or underscore on either side."""
    at = text.find(word)
    while at != -1:
        end = at + len(word)
        if not (at and _in_word(text[at - 1])) and not (end < len(text) and _in_word(text[end])):
            return True
        # A word can only begin behind something that is none: so every character is looked at once.
        start = at + 1
        while start < len(text) and _in_word(text[start - 1]):
            start += 1
        at = text.find(word, start)
    return False


def _in_word(character: str) -> bool:
    return character == "_" or character.isalnum()
