"""Personal data and credentials in a text, and the text with placeholders in their stead.

What was spelled out to be understood by a reader alone (`alice at example dot com`, zero-width characters between
digits, a number over two lines) is not found: this keeps from leaking by accident, not from wanting to tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import re2

from guard.detectors import detectors
from guard.kinds import PLACEHOLDERS, Kind
from guard.numbers import SEVEN_DIGITS
from guard.shadow import ascii_shadow

_MARK = re.compile(r"[@\d]|[A-Za-z_/+-]{16}|eyJ", re.ASCII)
"""Nothing that any detector finds is without one of these, in ASCII: texts without need not be looked at, and the
beginning of a text has the same finds whether it is looked at or not."""
_HARMLESS = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|.{0,5}", re.ASCII | re.DOTALL)
"""Request and session ids, and what is too short to be anything."""
_WORTH_LOOKING = re2.compile(
    rb"@|\d(?:[^\dA-Za-z]{0,3}\d){6}|\d\.\d|::|(?:[0-9A-Fa-f]{1,4}:){6}|[A-Za-z]{2}\d{2}[A-Za-z0-9 -]{11}"
    rb"|[A-Za-z0-9_-]{16}|[A-Za-z0-9+/]{40}|eyJ|(?i:key|token|secret|bearer|basic)",
)
"""What every find has in it, in one pass: most short texts with a digit, such as paths, end here."""
_SHORT = 256
_WEIGHT = 1_000
_DEAR = {Kind.PHONE: 35_000, Kind.CARD: 2_000}
"""In a row of digits: each may begin a number, which is then asked of its country's rules."""


@dataclass(frozen=True, slots=True)
class Span:
    """`start` and `end` in the text as it was given; `placeholder` takes its place."""

    start: int
    end: int
    placeholder: str


def _is_harmless(text: str) -> bool:
    if not _MARK.search(text):
        return True
    if len(text) > _SHORT:  # where there is much there is mostly something
        return False
    return _HARMLESS.fullmatch(text) is not None or _WORTH_LOOKING.search(text.encode()) is None


class Redactor:
    """`window`: what lies at least so many characters before the end of a text does not change when more text comes.

    Where two finds overlap, the second begins where the first ends: so no character of either stays, and a span is
    never wider than its detector's bound, however many are chained. What is decided at a place depends on the
    `look_behind` characters before it and the `window` behind it only.
    """

    def __init__(self, kinds: Iterable[Kind | str], region: str | None = None) -> None:
        self._detectors = detectors(map(Kind, kinds), region)
        self.window = max((detector.reach for detector in self._detectors), default=0)
        widest = max((detector.max_width for detector in self._detectors), default=0)
        self._weight = _WEIGHT + sum(_DEAR[detector.kind] for detector in self._detectors if detector.kind in _DEAR)
        self.look_behind = widest + max((detector.look_behind + 1 for detector in self._detectors), default=0)

    def __bool__(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._detectors)

    def spans(self, text: str) -> Sequence[Span]:
        """In the order of the text, none overlapping. Linear in the text."""
        if text.isascii() and _is_harmless(text):
            return ()
        return tuple(self._pieces(ascii_shadow(text)))

    def settled(self, text: str) -> int:
        """Spans that begin before this place, and what stands between them, stay as they are whatever follows; at least
        `len(text) - window`. In prose this is the beginning of the last word."""
        tail_from = max(0, len(text) - self.window)
        one_more = max(0, tail_from - 1)  # a backslash there says what the first letter is
        tail = ascii_shadow(text[one_more:])[tail_from - one_more :]
        return min((tail_from + detector.undecided(tail) for detector in self._detectors), default=len(text))

    def weight(self, text: str) -> int:
        """The work for each character of this text at worst, in about nanoseconds: most texts have few digits."""
        return self._weight if SEVEN_DIGITS.search(ascii_shadow(text)) else _WEIGHT

    def redact(self, text: str) -> str:
        if not _MARK.search(text) and text.isascii():
            return text
        spans = self.spans(text)
        if not spans:
            return text
        parts: list[str] = []
        at = 0
        for span in spans:
            parts += (text[at : span.start], span.placeholder)
            at = span.end
        return "".join((*parts, text[at:]))

    def _pieces(self, shadow: str) -> Iterator[Span]:
        found = sorted(
            (start, -end, order)
            for order, detector in enumerate(self._detectors)
            for start, end in detector.find(shadow)
        )
        taken = 0
        for start, minus_end, order in found:
            if -minus_end > taken:
                yield Span(max(start, taken), -minus_end, PLACEHOLDERS[self._detectors[order].kind])
                taken = -minus_end
