"""Text patterns that a tenant may write, matched in time linear in the text (RE2)."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from enum import StrEnum

import re2

_REGEX_MEMORY = 1 << 20
"""Bytes that one compiled expression may use: a pattern that needs more is refused when it is saved."""


class PatternType(StrEnum):
    CONTAINS = "contains"
    WORD = "word"
    REGEX = "regex"


class InvalidPatternError(ValueError):
    """The pattern cannot be used. The message says why."""


Matcher = Callable[[str], bool]
"""Takes canonical text and says whether the pattern occurs in it."""


def canonical(text: str) -> str:
    """The form in which rules see text: compatibility-composed, case-folded, white space folded."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def compile_pattern(kind: PatternType, pattern: str) -> Matcher:
    """Raises InvalidPatternError when the pattern is empty or, for a regex, not RE2 syntax or too large."""
    if kind is PatternType.REGEX:
        return _regex(pattern)
    literal = canonical(pattern)
    if not literal:
        raise InvalidPatternError("the pattern is empty")
    if kind is PatternType.WORD:
        return lambda text: _has_word(text, literal)
    return lambda text: literal in text


def _regex(pattern: str) -> Matcher:
    if not pattern:
        raise InvalidPatternError("the pattern is empty")
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = _REGEX_MEMORY
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "unknown"
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise InvalidPatternError(f"not a valid RE2 expression: {text}") from error
    return lambda text: compiled.search(text) is not None


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
