"""What is taken out of an answer, and what takes its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Span(Protocol):
    """A part of a text, and what takes its place."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def placeholder(self) -> str: ...


class Redactor(Protocol):
    """Finds what is replaced. What it finds at a place depends on at most `look_behind` characters before it."""

    @property
    def look_behind(self) -> int: ...

    def spans(self, text: str) -> Sequence[Span]:
        """In the order of the text."""
        ...

    def settled(self, text: str) -> int:
        """Spans that begin before this place stay as they are whatever follows."""
        ...

    def weight(self, text: str) -> int:
        """The work for each character of this text at worst, in about nanoseconds."""
        ...


_MANY = 1_000
"""Before those that overlap are made one: sorting them is one step, in which no other thread runs."""


class _Replaced(NamedTuple):
    """In characters of the whole answer. Of several that overlap, the placeholder is that of the first by this order;
    so it does not matter when they are made one."""

    start: int
    minus_own_end: int
    placeholder: str
    end: int


class Replacements:
    """Of the part of an answer that has not left. All places are counted from the answer's beginning."""

    def __init__(self) -> None:
        self._spans: list[_Replaced] = []
        self._most = _MANY

    def __len__(self) -> int:
        return len(self._spans)

    def note(self, start: int, end: int, placeholder: str) -> None:
        one = _Replaced(start, -end, placeholder, end)
        if self._spans and _is_within(one, self._spans[-1]):
            return  # of literals nested in each other there are thousands
        self._spans.append(one)
        if len(self._spans) > self._most:
            self._spans = _merged(self._spans)
            self._most = max(_MANY, 2 * len(self._spans))

    def leaving(self, text: str, begin: int, out: int, limit: int) -> tuple[str, int]:
        """What of `text`, which begins at `begin`, stands from `out` to `limit`, with placeholders for what is wholly
        before it; and how far that is, since nothing leaves of what is to be replaced later."""
        parts: list[str] = []
        kept: list[_Replaced] = []
        for one in _merged(self._spans):
            if one.end <= out:
                continue
            if one.end > limit:
                kept.append(one)
                limit = min(limit, max(one.start, out))
                continue
            parts += (text[out - begin : max(one.start, out) - begin], one.placeholder)
            out = one.end
        parts.append(text[out - begin : max(out, limit) - begin])
        self._spans = kept
        return "".join(parts), max(out, limit)


def _is_within(one: _Replaced, other: _Replaced) -> bool:
    return other.start <= one.start and one.end <= other.end and one.placeholder == other.placeholder


def _merged(spans: Sequence[_Replaced]) -> list[_Replaced]:
    """In order; those that overlap as one, with the placeholder of the first."""
    merged: list[_Replaced] = []
    for one in sorted(spans):
        if merged and one.start < merged[-1].end:
            merged[-1] = merged[-1]._replace(end=max(merged[-1].end, one.end))
        else:
            merged.append(one)
    return merged
