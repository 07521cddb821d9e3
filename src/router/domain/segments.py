"""An answer cut into segments that are judged one by one. Where it is cut depends on the text alone, not on the pieces
in which it comes, so that a streamed answer and a whole one are judged alike."""

from __future__ import annotations

import re
from dataclasses import dataclass

MIN_CHARS, MAX_CHARS = 60, 200
"""Of a segment. A sentence is mostly longer than the one: what is shorter ("1.", "Dr.") is not worth a call of its own.
The other bounds what a reader waits for: some fifty tokens, a second of a stream."""
CONTEXT_CHARS = 800
"""Of what went before, judged again with a segment, so that what is unfit across a cut is seen whole. Together with
the segment it is at most the thousand characters that Bedrock counts as one unit of text."""
PIECE_CHARS, OVERLAP_CHARS = 8_000, 400
"""Of a prompt, which is there at once: far below what one call takes (Bedrock: 25,000), so that no prompt is refused
for its length, and no service is slow for it."""

_SENTENCE_END = re.compile(r"\n|[.!?\u2026][\"'\u201d\u2019\u00bb)\]]{0,3}\s|[\u3002\uff01\uff1f]")
_WORD_END = re.compile(r"\s(?=\S*\Z)")


@dataclass(frozen=True, slots=True)
class Segment:
    """`text` is to be sent on if `judged`, which ends with it, passes."""

    text: str
    judged: str

    @property
    def blank(self) -> bool:
        return not self.text.strip()


class Segments:
    """Takes an answer piece by piece and gives its segments, each as soon as its end is known."""

    def __init__(self) -> None:
        self._held = ""
        self._looked_to = 0
        self._before = ""

    def feed(self, text: str) -> list[Segment]:
        found: list[Segment] = []
        for start in range(0, len(text), MAX_CHARS):  # so that what is held stays short
            self._held += text[start : start + MAX_CHARS]
            while (end := self._end()) is not None:
                found.append(self._cut(end))
        return found

    def finish(self) -> list[Segment]:
        """The rest: the last segment, where there is one."""
        return [self._cut(len(self._held))] if self._held else []

    def _end(self) -> int | None:
        """Of the first segment of what is held. Every character is looked at some few times, however it comes."""
        found = _SENTENCE_END.search(self._held, max(MIN_CHARS - 1, self._looked_to - 5), MAX_CHARS)
        if found is not None:
            return found.end()
        self._looked_to = min(len(self._held), MAX_CHARS)
        if len(self._held) < MAX_CHARS:
            return None
        space = _WORD_END.search(self._held, MIN_CHARS, MAX_CHARS)
        return space.end() if space is not None else MAX_CHARS

    def _cut(self, end: int) -> Segment:
        text, self._held, self._looked_to = self._held[:end], self._held[end:], 0
        segment = Segment(text, self._before + text)
        self._before = segment.judged[-CONTEXT_CHARS:]
        return segment


def pieces(text: str) -> list[str]:
    """A prompt in pieces that overlap; mostly one."""
    step = PIECE_CHARS - OVERLAP_CHARS
    return [text[start : start + PIECE_CHARS] for start in range(0, max(1, len(text) - OVERLAP_CHARS), step)]
