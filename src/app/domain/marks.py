"""The marks `[n]` in an answer, checked as the answer flows: one that belongs to no passage is taken out.

What is held back is a `[` and the digits behind it, with the one space before it, until the next character decides. It
is a machine over characters, so it does not matter how the answer is cut. `[10]` in code is an index and no mark.
"""

from __future__ import annotations

import re

MAX_MARK = 24
"""Characters of a mark, brackets included: `[1, 2, 3, 4]` and some more. What is longer is text."""

_NUMBERS = re.compile(r"\[\d{1,3}(?:, ?\d{1,3})*\]", re.ASCII)
_IN_MARK = frozenset("0123456789, ")
_FENCE = 3
"""Backticks: fewer make code within a line."""


class MarkFilter:
    """`passages` are numbered from 1. `cited` has the numbers that were marked, in the order of their first mark."""

    def __init__(self, passages: int) -> None:
        self._passages = passages
        self._cited: dict[int, None] = {}
        self._held = ""
        self._code = 0  # backticks that opened the code we are in; 0: none
        self._run = 0  # backticks in a row up to here

    @property
    def cited(self) -> tuple[int, ...]:
        return tuple(self._cited)

    def feed(self, text: str) -> str:
        """What may be sent on of all that came so far and was not yet."""
        if not (self._held or self._run or self._code or "[" in text or "`" in text or text.endswith(" ")):
            return text  # nearly every token
        return "".join([self._next(char) for char in text])

    def finish(self) -> str:
        """What is still held back: it became no mark."""
        left, self._held = self._held, ""
        return left

    def _next(self, char: str) -> str:
        held = self._held
        if not held:
            return self._plain(char)
        if "[" not in held:  # one space
            if char == "[":
                self._held += char
                return ""
        elif char == "]":
            self._held = ""
            return self._decided(held + char)
        elif char in _IN_MARK and len(held) < MAX_MARK:
            self._held += char
            return ""
        self._held = ""
        return held + self._plain(char)

    def _plain(self, char: str) -> str:
        if char == "`":
            self._run += 1
            if self._run == _FENCE:
                self._code = 0 if self._code == _FENCE else _FENCE
            return char
        if self._run:
            if self._run < _FENCE and self._code != _FENCE:
                self._code = 0 if self._code else 1
            self._run = 0
        if char == "\n" and self._code != _FENCE:
            self._code = 0
        if not self._code and char in " [":
            self._held = char
            return ""
        return char

    def _decided(self, mark: str) -> str:
        space = " " if mark.startswith(" ") else ""
        mark = mark.removeprefix(" ")
        if not _NUMBERS.fullmatch(mark):
            return space + mark
        numbers = [int(number) for number in mark[1:-1].split(",")]
        known = [number for number in numbers if 1 <= number <= self._passages]
        self._cited.update(dict.fromkeys(known))
        if len(known) == len(numbers):
            return space + mark
        return f"{space}[{', '.join(map(str, known))}]" if known else ""
