"""Where chunks begin and end in a document's text. Offsets are characters; every chunk is `text[start:end]`.

The steps keep one promise: every character that is not white space lies in at least one chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Span:
    start: int
    end: int

    def of(self, text: str) -> str:
        return text[self.start : self.end]


def spans_of(pieces: Iterable[str], text: str, *, size: int, start: int = 0) -> list[Span]:
    """The places of consecutive `pieces`, which together are `text` from `start` on: trimmed, none empty, none longer
    than `size`."""
    spans: list[Span] = []
    for piece in pieces:
        whole = trimmed(text, Span(start, start + len(piece)))
        start += len(piece)
        spans.extend(trimmed_parts(text, whole, size))
    return spans


def trimmed(text: str, span: Span) -> Span:
    """Without white space at either end; empty where nothing else was in it."""
    inner = span.of(text)
    start = span.start + len(inner) - len(inner.lstrip())
    return Span(start, max(start, span.start + len(inner.rstrip())))


def trimmed_parts(text: str, span: Span, size: int) -> Iterator[Span]:
    """Cuts of at most `size` characters, for a run in which no better place to cut was found."""
    for start in range(span.start, span.end, size):
        part = trimmed(text, Span(start, min(start + size, span.end)))
        if part.start < part.end:
            yield part


def overlapping(text: str, spans: Sequence[Span], overlap: int, *, anew: Sequence[bool]) -> list[Span]:
    """Each span begun up to `overlap` characters earlier, at a word, so that a sentence cut in two is found by both.

    One that begins `anew` stays as it is: what stands before it is of another subject.
    """
    widened = list(spans[:1])
    for (before, span), alone in zip(pairwise(spans), anew[1:], strict=True):
        earliest = max(before.start + 1, span.start - overlap)
        widened.append(span if alone else Span(_word_start(text, earliest, span.start), span.end))
    return widened


def _word_start(text: str, earliest: int, latest: int) -> int:
    """The first beginning of a word from `earliest` on; `earliest` itself in a script without spaces."""
    if text[earliest - 1].isspace() and not text[earliest].isspace():
        return earliest
    rest = text[earliest:latest]
    word, *after = rest.split(maxsplit=1)[:2] or [""]
    if after:
        return latest - len(after[0])
    return earliest if len(word) == len(rest) else latest


def fitting(
    text: str, spans: Sequence[Span], *, max_tokens: Sequence[int], count: Callable[[Sequence[str]], list[int]]
) -> list[tuple[int, Span]]:
    """The spans, each with the number of the one it comes from: those of more than `max_tokens[number]` are halved
    until they fit, as the model would not read the rest.

    `count` gives the tokens of each of several texts; it is asked once a round, not once a span.
    """
    settled: list[tuple[int, Span]] = []
    waiting = list(enumerate(spans))
    while waiting:
        counts = count([span.of(text) for _, span in waiting])
        halved: list[tuple[int, Span]] = []
        for (at, span), tokens in zip(waiting, counts, strict=True):
            if tokens <= max_tokens[at] or span.end - span.start < 2:
                settled.append((at, span))
            else:
                halved.extend((at, half) for half in _halves(text, span))
        waiting = halved
    return sorted(settled, key=lambda found: (found[0], found[1].start))


def _halves(text: str, span: Span) -> Iterator[Span]:
    """Cut at the white space nearest before the middle, or in the middle where there is none in the first half."""
    middle = (span.start + span.end) // 2
    first = Span(span.start, middle).of(text)
    words = first.rsplit(maxsplit=1)
    cut = span.start + len(first.rstrip()) - len(words[-1]) if len(words) > 1 else middle
    for half in (Span(span.start, cut), Span(cut, span.end)):
        part = trimmed(text, half)
        if part.start < part.end:
            yield part
